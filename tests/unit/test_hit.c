/* test_hit.c - hits on tracking links: events, machines, unsubscribing
 * (mg_hit.h), and the journal of them (mg_hit_journal.h). */
#include <apr_strings.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mg_campaign.h"
#include "mg_hit_journal.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_time.h"
#include "unit_records.h"

#define TO "bob@remote.test"

typedef struct {
    unit_store_t *store;
    mg_domain_t *domain;
    mg_message_t *message;
    mg_config_t *config;
    const char *dir;             /* of journals */
} fixture_t;

static fixture_t fixture_make(void **state)
{
    fixture_t f = { .store = *state };
    unit_store_t *s = f.store;

    mg_log_set_level(MG_LOG_ERR);
    f.domain = unit_domain(s, unit_account(s, "a"), "a.test");
    f.message = unit_message(s, f.domain);
    f.message->options = "{\"tags\":[\"one\",\"two\"]}";
    f.message->created_at = mg_now() - apr_time_from_sec(60);
    unit_envelope(f.message, MG_TRANSPORT_SMTP, TO, "remote.test");
    unit_store_ok(s->db, unit_accept(s->db, f.message, s->p));
    f.config = mg_config_create(s->p);
    f.config->machine_delay = apr_time_from_sec(2);
    f.dir = s->dir;
    return f;
}

static mg_hit_t hit_of(const fixture_t *f, mg_track_kind_t kind,
                       const char *text)
{
    mg_hit_t hit;

    memset(&hit, 0, sizeof(hit));
    hit.track.kind = kind;
    hit.track.domain_id = f->domain->id;
    hit.track.message_id = f->message->id;
    hit.track.recipient = TO;
    hit.track.text = text;
    hit.at = mg_now();
    hit.ip = "192.0.2.1";
    hit.user_agent = "Lynx/2.8";
    mg_client_read(&hit.client, hit.user_agent);
    return hit;
}

static void append(const fixture_t *f, const mg_hit_t *hit)
{
    unit_store_t *s = f->store;

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_hit_append(s->db, hit, f->config, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
}

static apr_int64_t count(const fixture_t *f, const char *where)
{
    return unit_store_int(f->store->db, apr_pstrcat(
        f->store->p, "SELECT count(*) FROM event WHERE ", where, NULL));
}

static void becomes_an_event(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_t hit = hit_of(&f, MG_TRACK_OPEN, "");

    hit.place.country = "US";
    append(&f, &hit);
    assert_int_equal(count(&f, "kind = 'opened' AND recipient = '" TO "'"
                           " AND detail LIKE '%\"ip\":\"192.0.2.1\"%'"
                           " AND detail LIKE '%\"Lynx\"%'"
                           " AND detail LIKE '%\"country\":\"US\"%'"
                           " AND detail LIKE '%\"tags\":[\"one\",\"two\"]%'"),
                     1);
    hit = hit_of(&f, MG_TRACK_CLICK, "http://x.test/");
    hit.machine = 1;
    hit.at = apr_time_from_sec(1318528920);
    append(&f, &hit);
    assert_int_equal(count(&f, "kind = 'clicked' AND detail LIKE"
                           " '%http://x.test/%' AND detail LIKE"
                           " '%\"machine\":true%' AND created_at ="
                           " 1318528920000000"), 1);
    unit_fsck(f.store, 1, "has no DKIM key");
}

static void outlives_its_message(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_t hit = hit_of(&f, MG_TRACK_OPEN, "");

    hit.track.message_id++;
    append(&f, &hit);
    assert_int_equal(count(&f, "kind = 'opened' AND account_id > 0"), 1);
    hit.track.domain_id++; /* no domain, no event */
    append(&f, &hit);
    assert_int_equal(count(&f, "kind = 'opened'"), 1);
    hit = hit_of(&f, MG_TRACK_OPEN, ""); /* came to another's host */
    hit.host = "email.b.test";
    append(&f, &hit);
    assert_int_equal(count(&f, "kind = 'opened'"), 1);
    hit.host = "Email.A.test";
    append(&f, &hit);
    assert_int_equal(count(&f, "kind = 'opened'"), 2);
}

/* --- machines --- */

/* when: seconds after it was delivered; accepted a minute before that */
static const struct {
    mg_track_kind_t kind;
    int is_delivered;
    double when;
    int delay, machine;
} soon[] = {
    { MG_TRACK_CLICK, 1, 0, 2, 1 },
    { MG_TRACK_CLICK, 1, 1.9, 2, 1 },
    { MG_TRACK_CLICK, 1, 2.1, 2, 0 },
    { MG_TRACK_CLICK, 1, -5, 2, 1 },
    { MG_TRACK_CLICK, 0, 10, 2, 1 },
    { MG_TRACK_CLICK, 0, 10, 0, 0 },
    { MG_TRACK_CLICK, 1, 0, 0, 0 },
    { MG_TRACK_CLICK, 0, 5 * 86400, 2, 0 },
    { MG_TRACK_OPEN, 1, 0, 2, 0 },
    { MG_TRACK_OPEN, 0, 0, 2, 0 },
};

static void clicks_too_soon(void **state)
{
    fixture_t f = fixture_make(state);
    unit_store_t *s = f.store;
    apr_time_t delivered = f.message->created_at + apr_time_from_sec(60);
    apr_int64_t machines = 0;
    size_t i;

    for (i = 0; i < sizeof(soon) / sizeof(soon[0]); i++) {
        mg_hit_t hit = hit_of(&f, soon[i].kind,
                              soon[i].kind == MG_TRACK_CLICK
                                  ? "http://x.test/" : "");

        unit_store_ok(s->db, mg_db_exec(s->db, NULL, "DELETE FROM event WHERE"
                                        " kind = 'delivered'", ""));
        if (soon[i].is_delivered)
            unit_store_ok(s->db, mg_db_exec(
                s->db, NULL, "INSERT INTO event (id, account_id, domain_id,"
                " message_id, delivery_id, kind, recipient, log_text, detail,"
                " created_at) VALUES ($1, 1, $2, $3, 0, 'delivered', $4, '',"
                " '{}', $5)", "iiiti", mg_id_next(), f.domain->id,
                f.message->id, TO, (apr_int64_t)delivered));
        f.config->machine_delay = apr_time_from_sec(soon[i].delay);
        hit.at = delivered + (apr_time_t)(soon[i].when * 1e6);
        append(&f, &hit);
        machines += soon[i].machine;
        if (count(&f, "detail LIKE '%\"machine\":true%'") != machines)
            fail_msg("case %d", (int)i);
    }
}

/* --- unsubscribing --- */

static apr_int64_t rows(const fixture_t *f)
{
    return unit_store_int(f->store->db, "SELECT count(*) FROM unsubscribe");
}

static void unsubscribes_once(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_t hit = hit_of(&f, MG_TRACK_UNSUBSCRIBE, "");
    int is = -1;

    append(&f, &hit);
    append(&f, &hit);
    assert_int_equal(rows(&f), 1);
    assert_int_equal(count(&f, "kind = 'unsubscribed'"), 1);
    unit_store_ok(f.store->db, mg_hit_is_unsubscribed(&is, f.store->db,
                                                      &hit.track,
                                                      f.store->p));
    assert_int_equal(is, 1);
    hit.track.recipient = "BOB@Remote.test"; /* the same */
    append(&f, &hit);
    assert_int_equal(rows(&f), 1);
    hit.undo = 1;
    append(&f, &hit);
    append(&f, &hit);
    assert_int_equal(rows(&f), 0);
    assert_int_equal(count(&f, "kind = 'unsubscribed'"), 1);
    hit.undo = 0;
    append(&f, &hit);
    assert_int_equal(rows(&f), 1);
    assert_int_equal(count(&f, "kind = 'unsubscribed'"), 2);
}

static void unsubscribes_from_tags(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_t hit = hit_of(&f, MG_TRACK_UNSUBSCRIBE_TAGS, "one\ntwo");
    int is = -1;

    append(&f, &hit);
    append(&f, &hit);
    assert_int_equal(rows(&f), 2);
    assert_int_equal(count(&f, "kind = 'unsubscribed'"), 1);
    hit.track.text = "two\nthree"; /* one of them is new */
    unit_store_ok(f.store->db, mg_hit_is_unsubscribed(&is, f.store->db,
                                                      &hit.track,
                                                      f.store->p));
    assert_int_equal(is, 0);
    append(&f, &hit);
    assert_int_equal(rows(&f), 3);
    hit.track.text = ""; /* a message without tags */
    append(&f, &hit);
    assert_int_equal(unit_store_int(f.store->db, "SELECT count(*) FROM"
                                    " unsubscribe WHERE tag = '*'"), 1);
}

/* Messages of a batch are read once. */
static void reads_ahead(void **state)
{
    fixture_t f = fixture_make(state);
    mg_db_t *db = f.store->db;
    apr_int64_t ids[40];
    int i;

    for (i = 0; i < 40; i++)
        ids[i] = f.message->id + i / 2;
    unit_store_is(db, mg_hit_read_ahead(db, ids, 40), MG_ESQL);
    unit_store_ok(db, mg_tx_begin(db, MG_TX_WRITE));
    assert_false(mg_hit_is_known(db, ids[0]));
    unit_store_ok(db, mg_hit_read_ahead(db, ids, 40));
    for (i = 0; i < 40; i++)
        assert_true(mg_hit_is_known(db, ids[i]));
    assert_false(mg_hit_is_known(db, f.message->id + 20));
    mg_tx_rollback(db);
}

/* --- the journal --- */

static void lines(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_t hit = hit_of(&f, MG_TRACK_CLICK, "http://x.test/\xc3\xbc\"\\"),
        back;
    apr_pool_t *p = f.store->p;
    char *line;
    size_t i;

    hit.machine = 1;
    hit.place.city = "\xc3\x8ele";
    hit.user_agent = "a\nb\xff";
    line = mg_hit_to_line(&hit, p);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_int_equal(mg_hit_from_line(&back, line, p), APR_SUCCESS);
    assert_int_equal(back.track.kind, MG_TRACK_CLICK);
    assert_true(back.track.message_id == hit.track.message_id);
    assert_true(back.at == hit.at && back.machine && !back.undo);
    assert_string_equal(back.track.text, hit.track.text);
    assert_string_equal(back.place.city, hit.place.city);
    assert_string_equal(back.user_agent, "a\nb\xef\xbf\xbd");
    assert_string_equal(back.client.name, "Lynx");
    assert_null(back.host);
    for (i = 0; line[i]; i++) {
        char was = line[i];

        line[i] = was == 'x' ? 'y' : 'x';
        if (mg_hit_from_line(&back, line, p) == APR_SUCCESS)
            fail_msg("%s", line);
        line[i] = '\0';
        if (mg_hit_from_line(&back, line, p) == APR_SUCCESS)
            fail_msg("%s", line);
        line[i] = was;
    }
    assert_int_equal(mg_hit_from_line(&back, "\n", p), MG_EBADINPUT);
}

static int files(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    int n = 0;

    while ((entry = readdir(d)) != NULL)
        n += strncmp(entry->d_name, "hits-", 5) == 0;
    closedir(d);
    return n;
}

/* All steps; how many hits came out. */
static int replay(const fixture_t *f, mg_db_t *db)
{
    int n, more = 1, all = 0;

    while (more) {
        unit_store_ok(db, mg_hit_journal_replay(&n, &more, db, f->dir,
                                                f->config, f->store->p));
        all += n;
    }
    return all;
}

static void write_hits(const fixture_t *f, mg_hit_journal_t *j, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        mg_hit_t hit = hit_of(f, MG_TRACK_CLICK, apr_psprintf(
            f->store->p, "http://x.test/%d", i));

        assert_int_equal(mg_hit_journal_write(j, &hit, f->store->p),
                         APR_SUCCESS);
    }
}

static void is_replayed(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_journal_t *j = mg_hit_journal_create(f.dir, f.store->p);

    f.config->machine_delay = 0;
    assert_int_equal(replay(&f, f.store->db), 0);
    write_hits(&f, j, 150);
    assert_int_equal(files(f.dir), 1);
    assert_int_equal(replay(&f, f.store->db), 150);
    assert_int_equal(files(f.dir), 0);
    assert_int_equal(count(&f, "kind = 'clicked'"), 150);
    assert_int_equal(unit_store_int(f.store->db, "SELECT count(*) FROM setting"
                                    " WHERE scope = 'hits'"), 0);
    /* the writer sees that its file was taken */
    write_hits(&f, j, 3);
    assert_int_equal(files(f.dir), 1);
    assert_int_equal(replay(&f, f.store->db), 3);
    assert_int_equal(count(&f, "kind = 'clicked'"), 153);
    unit_fsck(f.store, 1, "has no DKIM key");
}

/* The store had it, and could not say so. */
static void is_not_replayed_if_it_is_there(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_journal_t *j = mg_hit_journal_create(f.dir, f.store->p);
    mg_hit_t hit = hit_of(&f, MG_TRACK_OPEN, "");

    hit.event_id = mg_id_next();
    append(&f, &hit);
    assert_int_equal(mg_hit_journal_write(j, &hit, f.store->p), APR_SUCCESS);
    hit.event_id = mg_id_next();
    assert_int_equal(mg_hit_journal_write(j, &hit, f.store->p), APR_SUCCESS);
    assert_int_equal(replay(&f, f.store->db), 2);
    assert_int_equal(count(&f, "kind = 'opened'"), 2);
    assert_int_equal(files(f.dir), 0);
}

/* One hit that can never be stored keeps no other from it. */
static void passes_over_what_the_store_refuses(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_journal_t *j = mg_hit_journal_create(f.dir, f.store->p);

    f.config->machine_delay = 0;
    unit_store_ok(f.store->db, mg_db_exec(
        f.store->db, NULL, "CREATE TRIGGER bad BEFORE INSERT ON event"
        " WHEN NEW.detail LIKE '%http://x.test/5\"%'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END", ""));
    write_hits(&f, j, 70);
    assert_int_equal(replay(&f, f.store->db), 70);
    assert_int_equal(count(&f, "kind = 'clicked'"), 69);
    assert_int_equal(files(f.dir), 0);
}

static void passes_over_what_was_cut(void **state)
{
    fixture_t f = fixture_make(state);
    char *path = apr_pstrcat(f.store->p, f.dir, "/hits-0000000000000001.open",
                             NULL);
    mg_hit_t hit = hit_of(&f, MG_TRACK_OPEN, "");
    char *line = mg_hit_to_line(&hit, f.store->p);
    FILE *out = fopen(path, "w");

    fputs(line, out);
    fprintf(out, "%.*s\n", 30, line);      /* torn, and written on */
    fputs("0123456789", out);
    putc('\0', out);
    putc('\n', out);
    fputs(line, out);
    fprintf(out, "%.*s", (int)strlen(line) - 1, line); /* the torn last one */
    fclose(out);
    assert_int_equal(replay(&f, f.store->db), 2);
    assert_int_equal(count(&f, "kind = 'opened'"), 2);
    assert_int_equal(files(f.dir), 0);
}

/* Of several writers: what was said last is what holds. */
static void replays_the_oldest_first(void **state)
{
    static const int order[] = { 5, 2, 7, 1, 8, 3, 6, 4 };
    fixture_t f = fixture_make(state);
    size_t i;

    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        mg_hit_t hit = hit_of(&f, MG_TRACK_UNSUBSCRIBE, "");
        FILE *out = fopen(apr_psprintf(f.store->p, "%s/hits-000000000000000%d"
                                       ".open", f.dir, order[i]), "w");

        hit.undo = order[i] % 2 == 0;
        fputs(mg_hit_to_line(&hit, f.store->p), out);
        fclose(out);
    }
    assert_int_equal(replay(&f, f.store->db), 8);
    assert_int_equal(count(&f, "kind = 'unsubscribed'"), 4);
    assert_int_equal(unit_store_int(f.store->db, "SELECT count(*) FROM"
                                    " unsubscribe"), 0);
}

/* Killed before and behind each COMMIT: no hit twice, none lost. */
static void survives_kills(void **state)
{
    fixture_t f = fixture_make(state);
    mg_hit_journal_t *j = mg_hit_journal_create(f.dir, f.store->p);
    int kills = 0, status = 1;

    f.config->machine_delay = 0;
    write_hits(&f, j, 300);
    mg_db_close(f.store->db);
    while (status) {
        pid_t pid;

        assert_true(kills < 50);
        unit_fault_clear();
        /* each time one COMMIT further along, as far as there is one */
        unit_fault(kills % 2 ? "store.commit.after" : "store.commit.before",
                   UNIT_KILL, 0, kills < 12 ? 1 : 0);
        pid = fork();
        if (pid == 0) {
            apr_pool_t *p;
            mg_db_t *db;
            int n, more = 1;

            apr_pool_create(&p, NULL);
            if (mg_db_open(&db, f.store->url, 0, p) != APR_SUCCESS)
                _exit(2);
            while (more)
                if (mg_hit_journal_replay(&n, &more, db, f.dir, f.config, p)
                    != APR_SUCCESS)
                    _exit(3);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status)
            assert_true(WIFSIGNALED(status));
        kills++;
    }
    unit_fault_clear();
    assert_true(kills > 3);
    f.store->db = unit_store_open(f.store, 0);
    assert_int_equal(count(&f, "kind = 'clicked'"), 300);
    assert_int_equal(unit_store_int(f.store->db, "SELECT count(DISTINCT detail)"
                                    " FROM event WHERE kind = 'clicked'"),
                     300);
    assert_int_equal(files(f.dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(becomes_an_event), UNIT_ON_BOTH(outlives_its_message),
        UNIT_ON_BOTH(clicks_too_soon), UNIT_ON_BOTH(unsubscribes_once),
        UNIT_ON_BOTH(unsubscribes_from_tags), UNIT_ON_BOTH(reads_ahead),
        UNIT_ON_SQLITE(lines), UNIT_ON_BOTH(is_replayed),
        UNIT_ON_BOTH(is_not_replayed_if_it_is_there),
        UNIT_ON_SQLITE(passes_over_what_the_store_refuses),
        UNIT_ON_SQLITE(passes_over_what_was_cut),
        UNIT_ON_SQLITE(replays_the_oldest_first),
        UNIT_ON_BOTH(survives_kills),
    };

    return unit_store_run("hits", tests);
}
