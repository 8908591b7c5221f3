#!/usr/bin/python3
"""make bench-events: pages of log, stats and events among many events.

The store is filled directly with --events events of the last 30 days, plausible
rows in the order of time: 20 domains, the first has 70 % of them; two messages
in five are opened; one in twenty fails. Indexes are made after the rows (which
packs them tighter than growth does), event_hour and stat from them; the first
domain has 10 tags on each of 180 days. Then each kind of page is asked for by
HTTP, one at a time, over one connection; median, p99, the worst and the CPU time of
httpd and PostgreSQL are printed, and a static file of the same httpd beside them.
"""
import argparse
import base64
import http.client
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.measure import conditions, cpu_seconds, percentile  # noqa: E402
from tests.stack.postgres import BIN  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

EPOCH_MS = 1577836800000
SPAN_MS = 30 * 86400 * 1000
DOMAINS, BIG_SHARE, SLICE = 20, 7, 200000
AGE_MS = 0              # how long ago the last of them happened
KINDS = ("accepted", "delivered", "failed", "opened", "clicked")


class Db:
    """SQL on either store, from outside."""
    def __init__(self, stack):
        self.pg = stack.pg
        self.path = stack.dir + "/store/mailgun.db"

    def run(self, script):
        if self.pg:
            subprocess.run([BIN + "/psql", "-qAtX", "-v", "ON_ERROR_STOP=1",
                            "-h", "127.0.0.1", "-p", str(self.pg.port), "-U",
                            "mailgun", "mailgun"], input=script, text=True,
                           check=True, stdout=subprocess.DEVNULL)
            return
        db = sqlite3.connect(self.path)
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA cache_size=-400000")
        db.executescript("BEGIN;" + script + ";COMMIT;")
        db.close()

    def rows(self, query):
        if self.pg:
            return [tuple(line.split("|")) for line in
                    self.pg.sql(query).splitlines()]
        db = sqlite3.connect(self.path)
        rows = db.execute(query).fetchall()
        db.close()
        return rows

    def series(self, low, high):
        if self.pg:
            return "", "generate_series(%d::bigint, %d) AS n(i)" % (low, high - 1)
        return ("WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1"
                " FROM n WHERE i < %d) " % (low, high - 1), "n")


# Rows are made of i, the number of the message. @NAME@ are filled in by sql().
MS = "(@START@ + i * @SPAN@ / @MESSAGES@)"     # its millisecond since 2020
WHO = "'user' || (i * 7919 % 500000) || '@example' || (i % 50) || '.com'"
DOMAIN = (" FROM @FROM@ JOIN bench_domain d ON d.k = CASE WHEN i % 10 < @SHARE@"
          " THEN 0 ELSE 1 + (i / 10) % @OTHERS@ END")
DELIVERED = ('{"code":250,"reply":"250 2.0.0 Ok: queued as 4F1C12AB34",'
             '"mx":"mx1.example.com","tls":true,"tls-version":"TLSv1.3",'
             '"tls-cipher":"TLS_AES_256_GCM_SHA384",'
             '"certificate-verified":true,"tls-policy":"may",'
             '"sending-ip":"192.0.2.1","attempt":1,"tags":["newsletter"]}')
FAILED = ('{"code":550,"reply":"550 5.1.1 no such user","mx":"mx1.example.com"'
          ',"class":"unknown","attempt":1,"tags":["newsletter"]}')
OPENED = ('{"tags":["newsletter"],"ip":"192.0.2.9","client-info":{'
          '"client-type":"browser","client-name":"Firefox","client-os":"Linux"'
          ',"device-type":"desktop","user-agent":"Mozilla/5.0 (X11)"}}')
MESSAGE = (
    "INSERT INTO message (id, account_id, domain_id, direction, method,"
    " message_id, sender, from_header, subject, options, variables, size,"
    " recipients, deliveries, created_at, summary) @WITH@"
    "SELECT (@MS@ << 22) + 4, d.account, d.id, 0, 'http', '2012.' || i"
    " || '.1@bench', 'me@bench.test', 'Me <me@bench.test>', 'Newsletter ' ||"
    " (i % 1000), '{\"tags\":[\"newsletter\"]}', '{}', 4000 + i % 1000, 1,"
    " 1, (@MS@ + @EPOCH@) * 1000, '{\"to\":\"somebody\"}'" + DOMAIN)
EVENT = (
    "INSERT INTO event (id, account_id, domain_id, message_id, delivery_id,"
    " kind, recipient, log_text, detail, created_at) @WITH@"
    "SELECT ((@MS@ + @DELAY@) << 22) + @BITS@, d.account, d.id,"
    " (@MS@ << 22) + 4, (@MS@ << 22) + 5, @KIND@, @WHO@,"
    " '@WORD@: me@bench.test \u2192 ' || @WHO@ || ' \"Newsletter ' ||"
    " (i % 1000) || '\"', @DETAIL@, (@MS@ + @DELAY@ + @EPOCH@) * 1000" + DOMAIN)


def sql(text, **values):
    for name in ("WORD", "KIND", "DETAIL", "DELAY", "BITS", "WHO", "MS",
                 "START", "SPAN", "MESSAGES", "EPOCH", "WITH", "FROM", "SHARE",
                 "OTHERS"):
        if name in values:
            text = text.replace("@%s@" % name, str(values[name]))
    return text


EVENTS = (
    sql(EVENT, DELAY=0, BITS=1, KIND="'accepted'", WORD="Accepted",
        DETAIL="'{\"tags\":[\"newsletter\"]}'"),
    sql(EVENT, DELAY=300, BITS=2, WORD="Delivered",
        KIND="CASE WHEN i % 20 = 3 THEN 'failed' ELSE 'delivered' END",
        DETAIL="CASE WHEN i % 20 = 3 THEN '" + FAILED + "' ELSE '" +
        DELIVERED + "' END"),
    sql(EVENT, DELAY=600, BITS=3, KIND="'opened'", WORD="Opened",
        DETAIL="'" + OPENED + "'") + " WHERE i % 5 < 2",
)
INDEXES = (("event_domain", "event(domain_id, id, kind, recipient)"),
           ("event_message", "event(message_id)"),
           ("message_domain", "message(domain_id, id)"),
           ("message_message_id", "message(message_id)"))


def fill(stack, db, args):
    began = time.monotonic()
    rows = db.rows("SELECT id, account_id FROM domain ORDER BY id")
    db.run("CREATE TABLE bench_domain (k BIGINT PRIMARY KEY, id BIGINT,"
           " account BIGINT);" + "".join(
               "INSERT INTO bench_domain VALUES (%d, %s, %s);" % (
                   k, r[0], r[1]) for k, r in enumerate(rows)))
    db.run("".join("DROP INDEX %s;" % name for name, _ in INDEXES))
    messages = args.events * 5 // 12
    start = int(time.time() * 1000) - EPOCH_MS - SPAN_MS - AGE_MS
    for low in range(0, messages, SLICE):
        with_, from_ = db.series(low, min(low + SLICE, messages))
        db.run(";".join(sql(text, WHO=WHO, MS=MS, START=start, SPAN=SPAN_MS,
                            MESSAGES=messages, EPOCH=EPOCH_MS, WITH=with_,
                            FROM=from_, SHARE=BIG_SHARE, OTHERS=DOMAINS - 1)
                        for text in (MESSAGE,) + EVENTS))
    for name, on in INDEXES:
        db.run("CREATE INDEX %s ON %s" % (name, on))
    db.run("INSERT INTO event_hour (domain_id, hour, slot, n) SELECT"
           " domain_id, (id >> 22) / 3600000, 0, COUNT(*) FROM event"
           " GROUP BY 1, 2; INSERT INTO stat (domain_id, day, kind, slot, n)"
           " SELECT domain_id, created_at / 86400000000, kind, 0, COUNT(*)"
           " FROM event GROUP BY 1, 2, 3")
    with_, from_ = db.series(0, 180 * 10)
    today = int(time.time()) // 86400
    for kind in KINDS:
        db.run("INSERT INTO stat (domain_id, day, kind, slot, n) " + with_ +
               "SELECT %s, %d - i / 10, '%s', 0, 5 FROM %s WHERE i %% 10 = 0"
               " AND i > 62 * 10" % (rows[0][0], today, kind, from_))
        db.run("INSERT INTO stat_tag (domain_id, day, kind, tag, slot, n) " +
               with_ + "SELECT %s, %d - i / 10, '%s', 'tag' || (i %% 10), 0,"
               " 1 FROM %s" % (rows[0][0], today, kind, from_))
    if db.pg:
        db.run("VACUUM ANALYZE")
    print("%s: %s events, %s of them in one domain; filled in %.0f s" % (
        stack.store, db.rows("SELECT COUNT(*) FROM event")[0][0],
        db.rows("SELECT COUNT(*) FROM event WHERE domain_id = %s"
                % rows[0][0])[0][0], time.monotonic() - began), flush=True)


class Client:
    def __init__(self, stack):
        self.stack = stack
        self.connection = http.client.HTTPConnection("127.0.0.1",
                                                     stack.api_port)
        self.auth = "Basic " + base64.b64encode(
            b"api:" + stack.key.encode()).decode()

    def get(self, path, **params):
        """(seconds, body)"""
        if params:
            path += "?" + urllib.parse.urlencode(params)
        began = time.perf_counter()
        self.connection.request("GET", path,
                                headers={"Authorization": self.auth})
        r = self.connection.getresponse()
        body = r.read()
        took = time.perf_counter() - began
        if r.status != 200:
            sys.exit("%s: %d %s" % (path, r.status, body[:300]))
        return took, body


def measure(name, client, args, ask):
    """ask(client, n) makes one request and returns what get() does"""
    times, items = [], 0
    processes = client.stack.processes["httpd"], (
        client.stack.pg and client.stack.pg.process)
    before = sum(cpu_seconds(p.pid) for p in processes if p)
    for n in range(args.requests):
        took, body = ask(client, n)
        times.append(took * 1000)
        if body[:1] == b"{":
            items += len(json.loads(body)["items"])
    cpu = sum(cpu_seconds(p.pid) for p in processes if p) - before
    print("  %-34s median %6.1f ms, p99 %6.1f ms, worst %6.1f ms; CPU %5.1f ms"
          "; %.0f items; load %.0f" % (
              name, percentile(times, 0.5), percentile(times, 0.99),
              max(times), cpu / args.requests * 1000, items / args.requests,
              os.getloadavg()[0]), flush=True)


class Pages:
    """Along paging.next."""
    def __init__(self, base, **params):
        self.base, self.params, self.next = base, params, None

    def __call__(self, client, n):
        if self.next is None:
            took, body = client.get(self.base, **self.params)
        else:
            took, body = client.get(self.next)
        page = json.loads(body)
        self.next = urllib.parse.urlparse(page["paging"]["next"]).path
        return took, body


def ask_all(stack, db, args):
    client = Client(stack)
    base = "/v2/" + stack.domain
    rng = random.Random(1)
    took, body = client.get(base + "/log", limit=1)
    total = json.loads(body)["total_count"]
    want = int(db.rows("SELECT COUNT(*) FROM event e JOIN domain d ON"
                       " d.id = e.domain_id WHERE d.name = '%s'"
                       % stack.domain)[0][0])
    if total != want:
        sys.exit("total_count is %d, the domain has %d" % (total, want))
    now = time.time()
    span = SPAN_MS / 1000 * 0.95
    cases = (
        ("a static file", lambda c, n: c.get("/index.html")),
        ("log, first page", lambda c, n: c.get(base + "/log")),
        ("log, skip=100000", lambda c, n: c.get(base + "/log",
                                                skip=100000 + 100 * n)),
        ("log, skip anywhere", lambda c, n: c.get(
            base + "/log", skip=rng.randrange(total))),
        ("stats, first page", lambda c, n: c.get(base + "/stats")),
        ("stats, sent and opened, skip=200", lambda c, n: c.get(
            base + "/stats?event=sent&event=opened&skip=200&limit=100")),
        ("events, newest", lambda c, n: c.get(base + "/events")),
        ("events, up from anywhere", lambda c, n: c.get(
            base + "/events", begin=now - rng.random() * span,
            ascending="yes")),
        ("events, paging.next on and on", Pages(base + "/events")),
        ("events, event=failed", Pages(base + "/events", event="failed")),
        ("events, event=opened, anywhere", lambda c, n: c.get(
            base + "/events", begin=now - rng.random() * span,
            event="opened")),
        ("events, message-id", lambda c, n: c.get(
            base + "/events",
            **{"message-id": "2012.%d.1@bench" % (rng.randrange(1000) * 10)})),
        ("events, tags=newsletter", Pages(base + "/events",
                                          tags="newsletter")),
        ("events, recipient (rare)", Pages(
            base + "/events", recipient="user79190@example10.com")),
        ("events, subject (1 of 1000)", Pages(base + "/events",
                                              subject='"newsletter 510"')),
        ("events, event=complained (none)", Pages(base + "/events",
                                                  event="complained")),
    )
    for name, ask in cases:
        if not args.only or args.only in name:
            measure(name, client, args, ask)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000000)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--store", nargs="*",
                        default=["sqlite", "postgresql"])
    parser.add_argument("--only", help="cases with that in their name")
    args = parser.parse_args()
    print("pages among %d events; %s" % (args.events, conditions()))
    for store in args.store:
        place = os.path.join(ROOT, "build", "bench-events-" + store)
        stack = Stack(place, variant="release", store=store)
        try:
            stack.setup()
            for k in range(1, DOMAINS):
                stack.ctl("domain", "add", "d%d.bench.test" % k, "--account",
                          stack.account, "--password", "bench-secret")
            db = Db(stack)
            fill(stack, db, args)
            stack.start_httpd()
            ask_all(stack, db, args)
        finally:
            stack.stop()
            stack.clean()
            shutil.rmtree(stack.wanted_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
