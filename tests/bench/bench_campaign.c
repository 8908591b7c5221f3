/* bench_campaign.c - reports of a campaign of a million events: make
 * bench-campaign.
 *
 * Filled through the append's own call, made segments as the keeper does; then
 * every report with every grouping, filters, far pages, counts. Time on the
 * clock (median and longest of several) and CPU (this process and, for
 * PostgreSQL, the server's process of this connection beside it). The last
 * table: what a campaign costs the append.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <apr_general.h>
#include <apr_strings.h>
#include "mg_campaign_report.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_migrate.h"
#include "mg_time.h"
#include "unit_pgsql.h"

enum { BATCH = 1000, TIMES_MAX = 101 };
#define KIND(name) (1u << MG_CAMPAIGN_##name)
#define PLACES (MG_BY_COUNTRY | MG_BY_REGION | MG_BY_CITY)
#define TIMES (MG_BY_MONTH | MG_BY_DAY | MG_BY_HOUR | MG_BY_MINUTE | \
               MG_BY_DAILY_HOUR)
#define ALL (KIND(DELIVERED) | KIND(OPENED) | KIND(CLICKED) | \
             KIND(UNSUBSCRIBED) | KIND(BOUNCED) | KIND(COMPLAINED))

static apr_pool_t *pool;
static int events = 1000000, repeats = 9;

static void must(mg_db_t *db, apr_status_t rv, const char *what)
{
    if (rv == APR_SUCCESS)
        return;
    fprintf(stderr, "bench_campaign: %s: %d: %s\n", what, rv,
            db ? mg_db_error(db) : "");
    exit(1);
}

/* --- CPU --- */

static double own_cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* Nanoseconds on the CPU: the first number. */
static double backend_cpu(apr_int64_t pid)
{
    unsigned long long ns = 0;
    char path[64];
    FILE *f;

    if (!pid)
        return 0;
    snprintf(path, sizeof(path), "/proc/%ld/schedstat", (long)pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    if (fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    fclose(f);
    return (double)ns / 1e6;
}

static apr_int64_t backend_pid(mg_db_t *db)
{
    apr_int64_t pid = 0;

    if (mg_db_kind(db) == MG_DB_PGSQL)
        must(db, mg_db_get_int(db, &pid,
                               "SELECT CAST(pg_backend_pid() AS BIGINT)", ""),
             "pid");
    return pid;
}

/* --- filling --- */

static apr_uint32_t state = 12345;

static apr_uint32_t draw(apr_uint32_t n)
{
    state = state * 1664525u + 1013904223u;
    return (apr_uint32_t)(((apr_uint64_t)state * n) >> 32);
}

/* Small numbers are frequent. */
static apr_uint32_t skewed(apr_uint32_t n)
{
    apr_uint32_t a = draw(n), b = draw(n);

    return (apr_uint32_t)((apr_uint64_t)a * b / n);
}

static const struct {
    mg_event_kind_t kind;
    apr_uint32_t percent;
} mix[] = {
    { MG_EVENT_DELIVERED, 54 }, { MG_EVENT_OPENED, 26 },
    { MG_EVENT_CLICKED, 15 },   { MG_EVENT_UNSUBSCRIBED, 2 },
    { MG_EVENT_FAILED, 2 },     { MG_EVENT_COMPLAINED, 1 },
};

static void draw_event(mg_event_t *event, int i, apr_pool_t *p)
{
    apr_uint32_t which = draw(100), k, person, city;

    for (k = 0; which >= mix[k].percent; k++)
        which -= mix[k].percent;
    event->kind = mix[k].kind;
    person = event->kind == MG_EVENT_DELIVERED ? (apr_uint32_t)i
                                               : skewed(400000);
    event->recipient = apr_psprintf(p, "somebody.%u@domain%u.test", person,
                                    skewed(person % 5000 + 1));
    event->url = apr_psprintf(p, "https://shop.test/offers/%u?from=news",
                              skewed(60));
    city = skewed(4000);
    event->country = apr_psprintf(p, "%c%c", 'A' + city % 60 / 26,
                                  'A' + city % 60 % 26);
    event->region = apr_psprintf(p, "Region %u", city % 700);
    event->city = apr_psprintf(p, "City %u", city);
    event->ip = "203.0.113.17";
    event->user_agent = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101";
    if (event->kind == MG_EVENT_DELIVERED || event->kind == MG_EVENT_FAILED)
        event->country = event->region = event->city = event->ip =
            event->user_agent = NULL;
}

static void keep(mg_db_t *db, apr_pool_t *p)
{
    mg_campaign_cursor_t cursor;
    int more = 1;

    memset(&cursor, 0, sizeof(cursor));
    while (more)
        must(db, mg_campaign_fold(&more, db, &cursor, 100, p), "fold");
    for (more = 1; more; apr_pool_clear(p))
        must(db, mg_campaign_pack(&more, db, p), "pack");
}

static void fill(mg_db_t *db, mg_event_t *event)
{
    apr_time_t began = apr_time_now(), now = mg_now();
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, pool);
    for (i = 0; i < events; i++) {
        if (i % BATCH == 0)
            must(db, mg_tx_begin(db, MG_TX_WRITE), "begin");
        event->message_id = mg_id_next();
        draw_event(event, i, p);
        must(db, mg_campaign_note(mg_batch_get(db), event, mg_id_next(),
                                  now - apr_time_from_sec(30 * 86400) +
                                      (apr_time_t)i * 2592000, p), "note");
        if (i % BATCH < BATCH - 1 && i < events - 1)
            continue;
        must(db, mg_tx_commit(db), "commit");
        apr_pool_clear(p);
        if (i / BATCH % 20 == 19)
            keep(db, p);
    }
    keep(db, p);
    apr_pool_destroy(p);
    printf("filled with %d events in %.0f s\n\n", events,
           (double)(apr_time_now() - began) / 1e6);
}

/* --- reports --- */

typedef struct {
    const char *name;
    mg_campaign_query_t query;
    enum { GROUPS, EVENTS, EVENTS_COUNT } what;
} ask_t;

static void run(mg_db_t *db, const ask_t *ask, apr_pool_t *p)
{
    apr_array_header_t *list;
    apr_int64_t n;

    if (ask->what == GROUPS)
        must(db, mg_campaign_report(&list, &n, db, &ask->query, p), ask->name);
    else if (ask->what == EVENTS)
        must(db, mg_campaign_events(&list, db, &ask->query, p), ask->name);
    else
        must(db, mg_campaign_events_count(&n, db, &ask->query, p), ask->name);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double worst_median, worst_cpu;

static void measure(mg_db_t *db, const ask_t *ask, apr_int64_t pid)
{
    double ms[TIMES_MAX], cpu;
    apr_time_t began;
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, pool);
    run(db, ask, p); /* once before: statements, caches */
    cpu = own_cpu() + backend_cpu(pid);
    for (i = 0; i < repeats; i++) {
        apr_pool_clear(p);
        began = apr_time_now();
        run(db, ask, p);
        ms[i] = (double)(apr_time_now() - began) / 1e3;
    }
    cpu = (own_cpu() + backend_cpu(pid) - cpu) / repeats;
    qsort(ms, (size_t)repeats, sizeof(*ms), by_size);
    printf("%-44s %8.1f %8.1f %8.1f\n", ask->name, ms[repeats / 2],
           ms[repeats - 1], cpu);
    worst_median = ms[repeats / 2] > worst_median ? ms[repeats / 2]
                                                  : worst_median;
    worst_cpu = cpu > worst_cpu ? cpu : worst_cpu;
    apr_pool_destroy(p);
}

static const struct {
    const char *name;
    unsigned kinds, unique, allowed;
} reports[] = {
    { "stats", ALL, KIND(OPENED) | KIND(CLICKED),
      MG_BY_DOMAIN | PLACES | MG_BY_DAILY_HOUR },
    { "clicks", KIND(CLICKED), KIND(CLICKED),
      MG_BY_LINK | MG_BY_RECIPIENT | MG_BY_DOMAIN | PLACES | TIMES },
    { "opens", KIND(OPENED), KIND(OPENED),
      MG_BY_RECIPIENT | MG_BY_DOMAIN | PLACES | TIMES },
    { "unsubscribes", KIND(UNSUBSCRIBED), KIND(UNSUBSCRIBED),
      MG_BY_DOMAIN | PLACES | TIMES },
    { "complaints", KIND(COMPLAINED), KIND(COMPLAINED),
      MG_BY_RECIPIENT | MG_BY_DOMAIN | TIMES },
};
static const char *const groupings[] = {
    "link", "recipient", "domain", "country", "region", "city", "month", "day",
    "hour", "minute", "daily_hour"
};

static void measure_report(mg_db_t *db, apr_int64_t campaign_id, int which,
                           apr_int64_t pid)
{
    ask_t ask = { .what = GROUPS };
    unsigned i;

    ask.query.campaign_id = campaign_id;
    ask.query.kinds = reports[which].kinds;
    ask.query.unique = reports[which].unique;
    ask.query.limit = 100;
    for (i = 0; i < 11; i++) {
        ask.query.by = reports[which].allowed & 1u << i;
        ask.name = apr_psprintf(pool, "%s by %s", reports[which].name,
                                groupings[i]);
        if (ask.query.by)
            measure(db, &ask, pid);
    }
    if (which == 0)
        return; /* stats takes one */
    ask.query.by = reports[which].allowed;
    ask.name = apr_psprintf(pool, "%s by all of them", reports[which].name);
    measure(db, &ask, pid);
}

static void measure_rest(mg_db_t *db, apr_int64_t id, apr_int64_t pid)
{
    const ask_t asks[] = {
        { "stats", { .campaign_id = id, .kinds = KIND(OPENED) | KIND(CLICKED),
                     .unique = KIND(OPENED) | KIND(CLICKED), .limit = 1 },
          GROUPS },
        { "clicks by link, recipient",
          { .campaign_id = id, .kinds = KIND(CLICKED), .unique = KIND(CLICKED),
            .by = MG_BY_LINK | MG_BY_RECIPIENT, .limit = 100 }, GROUPS },
        { "opens by recipient, one city",
          { .campaign_id = id, .kinds = KIND(OPENED), .unique = KIND(OPENED),
            .by = MG_BY_RECIPIENT, .city = "City 17", .limit = 100 }, GROUPS },
        { "opens by recipient, page 1000",
          { .campaign_id = id, .kinds = KIND(OPENED), .unique = KIND(OPENED),
            .by = MG_BY_RECIPIENT, .skip = 99900, .limit = 100 }, GROUPS },
        { "events", { .campaign_id = id, .kinds = ALL, .limit = 100 },
          EVENTS },
        { "events, clicked and opened",
          { .campaign_id = id, .kinds = KIND(OPENED) | KIND(CLICKED),
            .limit = 100 }, EVENTS },
        { "events, page 5000",
          { .campaign_id = id, .kinds = ALL, .skip = 499900, .limit = 100 },
          EVENTS },
        { "events, the last page",
          { .campaign_id = id, .kinds = ALL, .skip = events - 100,
            .limit = 100 }, EVENTS },
        { "events of a recipient",
          { .campaign_id = id, .kinds = ALL, .limit = 100,
            .recipient = "somebody.3@domain0.test" }, EVENTS },
        { "events of a country",
          { .campaign_id = id, .kinds = ALL, .country = "BH", .limit = 100 },
          EVENTS },
        { "events of a rare region",
          { .campaign_id = id, .kinds = ALL, .region = "Region 699",
            .limit = 100 }, EVENTS },
        { "events, count", { .campaign_id = id, .kinds = ALL }, EVENTS_COUNT },
        { "events of a country, count",
          { .campaign_id = id, .kinds = ALL, .country = "BH" },
          EVENTS_COUNT },
        { "events of a recipient, count",
          { .campaign_id = id, .kinds = ALL,
            .recipient = "somebody.3@domain0.test" }, EVENTS_COUNT },
    };
    size_t i;

    for (i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
        measure(db, &asks[i], pid);
}

/* --- what the append pays --- */

static void measure_append(mg_db_t *db, mg_event_t *event, int campaigns,
                           apr_int64_t pid)
{
    static const char *const ids[] = { "one", "two", "three" };
    enum { N = 20000, UNIT = 20 };
    double cpu = own_cpu() + backend_cpu(pid);
    apr_time_t began = apr_time_now();
    apr_array_header_t *list = apr_array_make(pool, 3, sizeof(char *));
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, pool);
    for (i = 0; i < campaigns; i++)
        APR_ARRAY_PUSH(list, const char *) = ids[i];
    event->campaigns = list;
    for (i = 0; i < N; i++) {
        if (i % UNIT == 0)
            must(db, mg_tx_begin(db, MG_TX_WRITE), "begin");
        must(db, mg_event_append(db, event, p), "append");
        if (i % UNIT == UNIT - 1) {
            must(db, mg_tx_commit(db), "commit");
            apr_pool_clear(p);
        }
    }
    printf("%-10s in %d campaigns: %6.1f us CPU, %7.1f us on the clock\n",
           event->kind == MG_EVENT_OPENED ? "opened" : "accepted", campaigns,
           (own_cpu() + backend_cpu(pid) - cpu) * 1e3 / N,
           (double)(apr_time_now() - began) / N);
    apr_pool_destroy(p);
}

static void measure_appends(mg_db_t *db, mg_event_t *event, apr_int64_t pid)
{
    static const mg_event_kind_t kinds[] = { MG_EVENT_ACCEPTED,
                                             MG_EVENT_OPENED };
    int i, n;

    event->recipient = "somebody@domain.test";
    event->message_id = mg_id_next();
    for (i = 0; i < 2; i++) {
        event->kind = kinds[i];
        for (n = 0; n <= 3; n += n ? 2 : 1)
            measure_append(db, event, n, pid);
    }
}

/* --- a store --- */

static mg_db_t *make_store(const char *url)
{
    mg_db_t *db;
    int from, to;

    must(db, mg_db_open(&db, url, MG_DB_CREATE, pool), "create");
    must(db, mg_migrate(db, &from, &to), "migrate");
    mg_db_close(db);
    must(db, mg_db_open(&db, url, MG_DB_KEEPER, pool), "open");
    mg_event_context(db, NULL, 1);
    must(db, mg_db_script(db, "INSERT INTO account (id, name, created_at)"
                              " VALUES (1, 'a', 0);"
                              "INSERT INTO domain (id, account_id, name,"
                              " name_lc, created_at) VALUES (1, 1, 'a.test',"
                              " 'a.test', 0)"), "domain");
    return db;
}

static void bench(const char *name, const char *url)
{
    static const char *const ids[] = { "one", "two", "three" };
    apr_array_header_t *list = apr_array_make(pool, 1, sizeof(char *));
    mg_db_t *db = make_store(url);
    mg_campaign_t *campaigns[3];
    mg_checkpoint_t checkpoint;
    mg_event_t event;
    apr_int64_t pid;
    int i;

    printf("--- %s\n", name);
    for (i = 0; i < 3; i++)
        must(db, mg_campaign_add(&campaigns[i], db, 1, ids[i], "Name", pool),
             "campaign");
    memset(&event, 0, sizeof(event));
    event.account_id = event.domain_id = 1;
    event.sender = "me@a.test";
    event.subject = "Hello";
    APR_ARRAY_PUSH(list, const char *) = "one";
    event.campaigns = list;
    fill(db, &event);
    must(db, mg_db_checkpoint(db, 1, &checkpoint), "checkpoint");
    if (mg_db_kind(db) == MG_DB_PGSQL)
        must(db, mg_db_script(db, "ANALYZE"), "analyze");
    pid = backend_pid(db);
    worst_median = worst_cpu = 0;
    printf("%-44s %8s %8s %8s\n", "ms", "median", "longest", "CPU");
    for (i = 0; i < 5; i++)
        measure_report(db, campaigns[0]->id, i, pid);
    measure_rest(db, campaigns[0]->id, pid);
    printf("%-44s %8.1f %8s %8.1f\n\n", "the slowest", worst_median, "",
           worst_cpu);
    measure_appends(db, &event, pid);
    printf("\n");
    mg_db_close(db);
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* [sqlite|postgresql|both] [events] [repeats] */
int main(int argc, const char *const *argv)
{
    static unit_pgsql_t server;
    char dir[] = "build/bench-XXXXXX", cwd[400];
    const char *store = argc > 1 ? argv[1] : "both", *why;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    mg_id_init();
    if (argc > 2)
        events = (int)apr_atoi64(argv[2]);
    if (argc > 3)
        repeats = (int)apr_atoi64(argv[3]);
    if (repeats < 1 || repeats > TIMES_MAX || events < 1000) {
        fprintf(stderr, "bench_campaign: at least 1000 events, 1 to %d "
                        "repeats\n", TIMES_MAX);
        return 1;
    }
    if (!getcwd(cwd, sizeof(cwd)) || !mkdtemp(dir)) {
        perror("bench_campaign");
        return 1;
    }
    if (strcmp(store, "postgresql") != 0)
        bench("SQLite", apr_psprintf(pool, "sqlite:%s/%s/mailgun.db", cwd,
                                     dir));
    if (strcmp(store, "sqlite") != 0) {
        why = unit_pgsql_start(&server, 1);
        if (why)
            printf("PostgreSQL: %s\n", why);
        else
            bench("PostgreSQL",
                  apr_psprintf(pool,
                               "postgresql://mailgun@127.0.0.1:%d/postgres",
                               server.port));
    }
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
