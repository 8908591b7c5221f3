#!/usr/bin/python3
"""make bench-suppressions: GET /bounces and /unsubscribes of a domain that has
--rows of them, page by page and one by one, with the exact total in each; on
SQLite, or on PostgreSQL by --store postgresql. The store is filled directly."""
import argparse
import base64
import http.client
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.bench_events import Db  # noqa: E402
from tests.bench.measure import conditions, percentile  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n
 WHERE i < {rows} - 1) INSERT INTO bounce SELECT {domain},
 'user' || (10000000 + i) || '@x' || (i % 1000) || '.test',
 'user' || (10000000 + i) || '@x' || (i % 1000) || '.test', '550',
 '550 5.1.1 The account that you tried to reach does not exist', 'unknown',
 1318528920000000 + i FROM n;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n
 WHERE i < {rows} - 1) INSERT INTO unsubscribe SELECT {domain},
 'user' || (10000000 + i) || '@x.test', '*',
 'user' || (10000000 + i) || '@x.test', 'id' || i, 1318528920000000 + i
 FROM n;
INSERT INTO suppression_total VALUES ({domain}, 0, 0, {rows});
INSERT INTO suppression_total VALUES ({domain}, 1, 0, {rows});
"""


def measure(stack, paths):
    """Seconds, sorted; each answer must be 200."""
    link = http.client.HTTPConnection("127.0.0.1", stack.api_port)
    headers = {"Authorization": "Basic " + base64.b64encode(
        b"api:" + stack.key.encode()).decode()}
    took = []
    for path in paths:
        began = time.monotonic()
        link.request("GET", "/v2/%s/%s" % (stack.domain, path), None, headers)
        reply = link.getresponse()
        body = reply.read()
        took.append(time.monotonic() - began)
        if reply.status != 200:
            sys.exit("%s: %d %s" % (path, reply.status, body))
    return sorted(took)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--store", default="sqlite",
                        choices=("sqlite", "postgresql"))
    args = parser.parse_args()
    stack = Stack(os.path.join(ROOT, "build", "bench-suppressions"),
                  variant="release", store=args.store)
    draw = random.Random(1)
    try:
        stack.setup()
        db = Db(stack)
        domain = db.rows("SELECT id FROM domain")[0][0]
        db.run(FILL.format(rows=args.rows, domain=domain))
        if args.store == "postgresql":
            db.run("ANALYZE;")
        stack.start_httpd()
        print("%d bounces, %d unsubscribes of one domain, %s; %s" % (
            args.rows, args.rows, args.store, conditions()))
        for what, make in (
                ("first page of 100", lambda: "bounces"),
                ("skip=100000", lambda: "bounces?skip=100000"),
                ("skip=900000", lambda: "bounces?skip=900000"),
                ("unsubscribes, skip=100000",
                 lambda: "unsubscribes?skip=100000"),
                ("one address", lambda: "bounces/user%d@x%d.test" % (
                    lambda i: (10000000 + i, i % 1000))(
                        draw.randrange(args.rows)))):
            measure(stack, [make() for _ in range(5)])
            took = measure(stack, [make() for _ in range(args.count)])
            print("  %-26s median %5.1f ms  p99 %5.1f ms" % (
                what, *(percentile(took, p) * 1000 for p in (0.5, 0.99))))
    finally:
        stack.stop()
        stack.clean()


if __name__ == "__main__":
    main()
