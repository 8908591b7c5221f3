/* bench_store.c - what the store takes: make bench-store.
 *
 * In: a message of 4 KB, its content, one delivery, one event and its counters
 * (mg_message_accept), committed in batches. Out: claim, then settle and the
 * event, committed in batches. CPU is this process and, for PostgreSQL, the
 * server's process of this connection beside it. The last table: the longest
 * any small writer waited beside one that holds the store for 20 ms at a time.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pthread.h>
#include <apr_general.h>
#include <apr_strings.h>
#include "mg_event.h"
#include "mg_group.h"
#include "mg_id.h"
#include "mg_message.h"
#include "mg_migrate.h"
#include "mg_queue.h"
#include "mg_time.h"
#include "unit_pgsql.h"
#include "unit_proxy.h"

enum { SIZE = 4096, BATCH_MAX = 200 };
#define CELL_US 600000
#define HOG_US 3000000
#define CHECKPOINT_US 300000

typedef struct {
    apr_pool_t *p;
    mg_db_t *db;
    const char *url;
    apr_int64_t backend;   /* pid of PostgreSQL's process, or 0 */
    int has_proxy;
    mg_claimer_t *claimer;
} bench_t;

static void must(mg_db_t *db, apr_status_t rv, const char *what)
{
    if (rv == APR_SUCCESS)
        return;
    fprintf(stderr, "bench_store: %s: %d: %s\n", what, rv,
            db ? mg_db_error(db) : "");
    exit(1);
}

/* --- CPU --- */

/* With the keeper's checkpoints, but without a proxy's work. */
static double own_cpu(int has_proxy)
{
    struct rusage u;

    getrusage(has_proxy ? RUSAGE_THREAD : RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6
           + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Nanoseconds on the CPU: the first number. */
static double backend_cpu(apr_int64_t pid)
{
    char path[64];
    unsigned long long ns = 0;
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
    return (double)ns / 1e3;
}

/* --- in --- */

static mg_message_t *make_message(apr_pool_t *p, apr_int64_t domain_id,
                                  const char *bytes)
{
    mg_message_t *m = apr_pcalloc(p, sizeof(*m));
    mg_envelope_t *e;

    m->id = mg_id_next();
    m->account_id = 1;
    m->domain_id = domain_id;
    m->direction = MG_OUTGOING;
    m->method = "http";
    m->message_id = apr_psprintf(p, "%" APR_INT64_T_FMT ".1@bench.test",
                                 m->id);
    m->sender = "joe@bench.test";
    m->from_header = "Joe <joe@bench.test>";
    m->subject = "A subject of common length";
    m->size = SIZE;
    m->created_at = mg_now();
    m->bytes = bytes;
    m->bytes_len = SIZE;
    m->envelopes = apr_array_make(p, 1, sizeof(mg_envelope_t));
    e = apr_array_push(m->envelopes);
    memset(e, 0, sizeof(*e));
    e->id = mg_id_next();
    e->transport = MG_TRANSPORT_SMTP;
    e->recipient = "bob@remote.test";
    e->recipient_as_given = "Bob <bob@remote.test>";
    e->dest = "remote.test";
    return m;
}

static apr_status_t accept_one(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    return mg_message_accept(db, baton, ptemp);
}

static int put_batch(bench_t *b, int batch, const char *bytes, apr_pool_t *p)
{
    mg_unit_t *units = apr_pcalloc(p, batch * sizeof(*units));
    int i;

    for (i = 0; i < batch; i++) {
        units[i].run = accept_one;
        units[i].is_there = mg_message_is_there;
        units[i].baton = make_message(p, 1 + i % 10, bytes);
        units[i].next = i + 1 < batch ? &units[i + 1] : NULL;
    }
    must(b->db, mg_group_commit(b->db, units, p), "commit");
    for (i = 0; i < batch; i++)
        must(b->db, units[i].status, "accept");
    return batch;
}

/* --- out --- */

static apr_status_t settle_one(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    mg_delivery_t *d = baton;
    mg_event_t event = mg_event_of(MG_EVENT_DELIVERED, d, NULL, ptemp);
    apr_status_t rv = mg_queue_settle(db, d);

    event.code = 250;
    event.reply = "250 2.0.0 Ok: queued as 4F1C12";
    event.sender = "joe@bench.test";
    event.subject = "A subject of common length";
    return rv == APR_SUCCESS ? mg_event_append(db, &event, ptemp) : rv;
}

static int take_batch(bench_t *b, int batch, const char *bytes, apr_pool_t *p)
{
    apr_array_header_t *claimed;
    mg_unit_t *units;
    int i, n;

    (void)bytes;
    must(b->db, mg_queue_claim(&claimed, b->db, b->claimer, batch, p),
         "claim");
    n = claimed->nelts;
    if (n == 0)
        return 0;
    units = apr_pcalloc(p, n * sizeof(*units));
    for (i = 0; i < n; i++) {
        units[i].run = settle_one;
        units[i].baton = APR_ARRAY_IDX(claimed, i, mg_delivery_t *);
        units[i].next = i + 1 < n ? &units[i + 1] : NULL;
    }
    must(b->db, mg_group_commit(b->db, units, p), "settle");
    for (i = 0; i < n; i++)
        must(b->db, units[i].status, "settle");
    return n;
}

/* --- one cell of the table --- */

typedef int batch_fn(bench_t *b, int batch, const char *bytes, apr_pool_t *p);

static void measure(bench_t *b, int batch, batch_fn *fn, apr_time_t limit)
{
    static char bytes[SIZE];
    apr_time_t begin = mg_ticks(), now;
    double own = own_cpu(b->has_proxy), backend = backend_cpu(b->backend);
    long n = 0;
    apr_pool_t *p;
    int got;

    for (got = 0; got < SIZE; got++) /* as base64: it hardly compresses */
        bytes[got] = (char)('A' + rand() % 58);
    apr_pool_create(&p, b->p);
    do {
        got = fn(b, batch, bytes, p);
        n += got;
        apr_pool_clear(p);
        now = mg_ticks();
    } while (got > 0 && now - begin < limit);
    apr_pool_destroy(p);
    own = own_cpu(b->has_proxy) - own;
    backend = backend_cpu(b->backend) - backend;
    if (n == 0)
        n = 1;
    printf("  %8.0f  %6.1f", (double)n * 1e6 / (double)(now - begin),
           own / (double)n);
    if (b->backend)
        printf(" +%6.1f", backend / (double)n);
    else
        printf("        ");
    fflush(stdout);
}

/* As the keeper does it. */
static volatile int keeper_stop;
static void *keep(void *data)
{
    const char *url = data;
    mg_checkpoint_t result;
    apr_pool_t *p;
    mg_db_t *db;

    apr_pool_create(&p, NULL);
    must(db, mg_db_open(&db, url, MG_DB_KEEPER, p), "keeper");
    while (!keeper_stop) {
        usleep(CHECKPOINT_US);
        must(db, mg_db_checkpoint(db, 256 << 20, &result), "checkpoint");
    }
    apr_pool_destroy(p);
    return NULL;
}

static void fill_domains(mg_db_t *db)
{
    int i;

    must(db, mg_db_exec(db, NULL, "INSERT INTO account (id, name, created_at) "
                        "VALUES (1, 'bench', 0) ON CONFLICT DO NOTHING", ""),
         "account");
    for (i = 1; i <= 10; i++)
        must(db, mg_db_exec(db, NULL, "INSERT INTO domain (id, account_id, "
            "name, name_lc, created_at) VALUES ($1, 1, $2, $2, 0) "
            "ON CONFLICT DO NOTHING", "it", (apr_int64_t)i,
            i == 1 ? "bench1" : apr_psprintf(mg_tx_pool(db), "bench%d", i)),
            "domain");
}

static void run_table(const char *name, const char *url, int has_proxy)
{
    static const int batches[] = { 1, 10, 50, 200 };
    static const mg_transport_kind_t transports[] = { MG_TRANSPORT_SMTP };
    pthread_t keeper;
    bench_t b = { .url = url, .has_proxy = has_proxy };
    apr_size_t i;

    apr_pool_create(&b.p, NULL);
    must(b.db, mg_db_open(&b.db, url, 0, b.p), "open");
    must(b.db, mg_tx_begin(b.db, MG_TX_WRITE), "begin");
    fill_domains(b.db);
    must(b.db, mg_tx_commit(b.db), "fill");
    mg_event_context(b.db, mg_domain_cache_create(NULL, b.p), 1);
    if (mg_db_kind(b.db) == MG_DB_PGSQL)
        must(b.db, mg_db_get_int(b.db, &b.backend, "SELECT pg_backend_pid()",
                                 ""), "pid");
    b.claimer = mg_claimer_create(1, transports, 1, APR_INT64_C(600000000),
                                  b.p);
    keeper_stop = 0;
    pthread_create(&keeper, NULL, keep, (void *)(intptr_t)url);
    for (i = 0; i < sizeof(batches) / sizeof(*batches); i++) {
        printf("%-18s %5d", name, batches[i]);
        measure(&b, batches[i], put_batch, CELL_US);
        printf("   ");
        measure(&b, batches[i], take_batch, CELL_US);
        printf("\n");
    }
    keeper_stop = 1;
    pthread_join(keeper, NULL);
    apr_pool_destroy(b.p);
}

/* --- small writers beside a hog --- */

typedef struct {
    volatile int stop;
    volatile long worst_us, small, hogs;
} shared_t;

static mg_db_t *child_open(const char *url)
{
    apr_pool_t *p;
    mg_db_t *db;

    apr_pool_create(&p, NULL);
    mg_id_init();
    must(db, mg_db_open(&db, url, 0, p), "open");
    return db;
}

static void be_hog(const char *url, shared_t *shared)
{
    static char bytes[SIZE];
    mg_db_t *db = child_open(url);
    apr_time_t until;
    int i;

    while (!shared->stop) {
        must(db, mg_tx_begin(db, MG_TX_WRITE), "hog");
        until = mg_ticks() + 20000;
        for (i = 0; i < 50; i++)
            must(db, mg_db_exec(db, NULL, "INSERT INTO content (message_id, "
                 "seq, bytes) VALUES ($1, 0, $2)", "ib", mg_id_next(), bytes,
                 (apr_size_t)SIZE), "hog");
        if (mg_ticks() < until)
            usleep((useconds_t)(until - mg_ticks()));
        must(db, mg_tx_commit(db), "hog");
        shared->hogs++;
    }
    _exit(0);
}

static void be_small(const char *url, shared_t *shared)
{
    mg_db_t *db = child_open(url);
    long waited;

    while (!shared->stop) {
        apr_time_t begin = mg_ticks();
        must(db, mg_db_exec(db, NULL, "INSERT INTO content (message_id, seq, "
             "bytes) VALUES ($1, 0, $2)", "ib", mg_id_next(), "x",
             (apr_size_t)1), "small");
        waited = (long)(mg_ticks() - begin);
        if (waited > shared->worst_us)
            shared->worst_us = waited;
        shared->small++;
        usleep(5000);
    }
    _exit(0);
}

static void run_hog(const char *name, const char *url)
{
    enum { SMALL = 3 };
    shared_t *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[SMALL + 1];
    int i;

    fflush(stdout);
    for (i = 0; i <= SMALL; i++) {
        pids[i] = fork();
        if (pids[i] == 0 && i == 0)
            be_hog(url, shared);
        if (pids[i] == 0)
            be_small(url, shared);
    }
    usleep(HOG_US);
    shared->stop = 1;
    for (i = 0; i <= SMALL; i++)
        waitpid(pids[i], NULL, 0);
    printf("%-18s %8.1f ms   (%ld small writes, %ld of the hog)\n", name,
           (double)shared->worst_us / 1000, shared->small, shared->hogs);
    munmap(shared, sizeof(*shared));
}

/* --- stores --- */

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    (void)!remove(path);
    return 0;
}

static void make_store(const char *url)
{
    apr_pool_t *p;
    mg_db_t *db;
    int from, to;

    apr_pool_create(&p, NULL);
    must(db, mg_db_open(&db, url, MG_DB_CREATE, p), "create");
    must(db, mg_migrate(db, &from, &to), "migrate");
    apr_pool_destroy(p);
}

int main(int argc, const char *const *argv)
{
    static unit_pgsql_t server;
    char dir[] = "build/bench-XXXXXX", cwd[400], sqlite[500], pgsql[200],
         far[200];
    int only_sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    const char *why = NULL;
    unit_proxy_t *proxy = NULL;

    apr_initialize();
    mg_id_init();
    if (!getcwd(cwd, sizeof(cwd)) || !mkdtemp(dir)) {
        perror("bench_store");
        return 1;
    }
    snprintf(sqlite, sizeof(sqlite), "sqlite:%s/%s/mailgun.db", cwd, dir);
    make_store(sqlite);
    if (!only_sqlite)
        why = unit_pgsql_start(&server, 1);
    if (why)
        printf("PostgreSQL: %s\n", why);
    if (!only_sqlite && !why) {
        snprintf(pgsql, sizeof(pgsql),
                 "postgresql://mailgun@127.0.0.1:%d/postgres", server.port);
        make_store(pgsql);
        proxy = unit_proxy_start(server.port, 125); /* each way */
        snprintf(far, sizeof(far),
                 "postgresql://mailgun@127.0.0.1:%d/postgres",
                 unit_proxy_port(proxy));
    }

    printf("A message of 4 KB, one recipient; full durability; %ld CPUs.\n"
           "CPU in us a message: this process + PostgreSQL's beside it.\n\n"
           "%-18s %5s  %8s  %s  %11s  %s\n",
           sysconf(_SC_NPROCESSORS_ONLN), "store", "batch", "in/s",
           "CPU/message    ", "out/s", "CPU/message");
    run_table("SQLite", sqlite, 0);
    if (proxy) {
        run_table("PostgreSQL", pgsql, 0);
        run_table("PostgreSQL+0.25ms", far, 1);
        unit_proxy_stop(proxy);
    }
    printf("\nworst wait of 3 small writers beside a hog of 20 ms, %d s:\n",
           HOG_US / 1000000);
    run_hog("SQLite", sqlite);
    if (proxy)
        run_hog("PostgreSQL", pgsql);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
