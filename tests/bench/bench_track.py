#!/usr/bin/python3
"""make bench-track: opens and clicks per second, their events committed,
beside a static file from the same httpd (wrk, in turns).

10,000 distinct tokens of 10,000 messages of 100 domains, each with a campaign
and two tags; 10 domains have webhooks. Their posts wait (the notifier is
stopped) unless --posting, then they go to this httpd, too."""
import argparse
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.measure import conditions, cpu_seconds  # noqa: E402
from tests.stack import track  # noqa: E402
from tests.stack.process import children, title, wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-track")
DOMAINS, MESSAGES = 100, 10000
# ids tell when they were made (shared/base/mg_id.h): a week ago
FIRST = int((time.time() - 1577836800 - 7 * 86400) * 1000) << 22


def run_sql(stack, statements):
    if not stack.pg:
        with sqlite3.connect(stack.dir + "/store/mailgun.db") as db:
            for statement in statements:
                db.execute(statement)
        return
    for i in range(0, len(statements), 100):
        stack.pg.sql(";".join(statements[i:i + 100]))


def seed(stack):
    """Rows as the API would have made them a week ago."""
    account = stack.ctl("account", "list")
    assert stack.account in account
    now = int(time.time() * 1e6)
    then = now - 7 * 86400 * 1000000
    hook = "http://127.0.0.1:%d/v3/hook" % stack.api_port
    out = []
    for d in range(DOMAINS):
        out.append(
            "INSERT INTO domain (id, account_id, name, name_lc, state,"
            " created_at) SELECT %d, id, 'b%d.test', 'b%d.test', 'active', %d"
            " FROM account WHERE name = '%s'" % (
                FIRST + d, d, d, then, stack.account))
        out.append(
            "INSERT INTO campaign (id, domain_id, public_id, name, created_at)"
            " VALUES (%d, %d, 'c', 'Campaign', %d)" % (
                FIRST + d, FIRST + d, then))
        out.append(
            "INSERT INTO campaign_name (domain_id, public_id, since, until,"
            " campaign_id) VALUES (%d, 'c', 0, 9223372036854775807, %d)" % (
                FIRST + d, FIRST + d))
        if d % 10 == 0:
            for name in ("open", "click"):
                out.append(
                    "INSERT INTO setting (scope, scope_id, name, value) VALUES"
                    " ('domain', %d, 'webhook.%s', '%s')" % (
                        FIRST + d, name, hook))
    for m in range(MESSAGES):
        d = m % DOMAINS
        out.append(
            "INSERT INTO message (id, account_id, domain_id, direction, method,"
            " message_id, sender, from_header, subject, options, variables,"
            " size, recipients, deliveries, created_at) SELECT %d, account_id,"
            " id, 0, 'http', '%d@b%d.test', 'me@b%d.test', 'me@b%d.test',"
            " 'Hello', '{\"tags\":[\"one\",\"two\"],\"campaigns\":[\"c\"]}',"
            " '{}', 4096, 1, 1, %d FROM domain WHERE id = %d" % (
                FIRST + m, m, d, d, d, then, FIRST + d))
    run_sql(stack, out)


def write_links(stack):
    """Two files of "host path"."""
    secret = stack.dir + "/etc/tracking"
    files = {}
    for name, kind in (("open", track.OPEN), ("click", track.CLICK)):
        files[name] = "%s/%s.links" % (stack.dir, name)
        with open(files[name], "w") as f:
            for m in range(MESSAGES):
                f.write("email.b%d.test %s\n" % (m % DOMAINS, track.path(
                    secret, kind, FIRST + m % DOMAINS, FIRST + m,
                    "r%d@out.test" % m, "http://www.example.com/%d?a=b" % (
                        m % 7) if kind == track.CLICK else "")))
    files["static"] = stack.dir + "/static.links"
    with open(files["static"], "w") as f:
        f.write("localhost /pixel.png\n")
    with open(stack.dir + "/site/pixel.png", "wb") as f:
        f.write(b"x" * 68)
    os.chmod(stack.dir + "/site/pixel.png", 0o644)
    return files


def wrk(stack, what, links, args, seconds):
    port = stack.site_port if what == "static" else stack.api_port
    out = subprocess.run(
        ["wrk", "-t", "1", "-c", str(args.connections), "-d",
         "%ds" % seconds, "--timeout", "30s", "-s",
         ROOT + "/tests/bench/track.lua", "http://127.0.0.1:%d" % port],
        env=dict(os.environ, BENCH_LINKS=links,
                 BENCH_STATUS="302" if what == "click" else "200"),
        text=True, stdout=subprocess.PIPE, check=True).stdout
    line = [x for x in out.splitlines() if x.startswith("RESULT")]
    if not line:
        sys.exit(out)
    ok, bad, duration, p50, p99, worst = line[0].split()[1:]
    return int(ok), int(bad), float(duration), int(p50), int(p99)


def number(stack, text):
    if stack.pg:
        return int(stack.pg.sql(text))
    with sqlite3.connect(stack.dir + "/store/mailgun.db", timeout=60) as db:
        return db.execute(text).fetchone()[0]


def events(stack):
    return number(stack, "SELECT count(*) FROM event")


def one(stack, what, links, args):
    before = events(stack) if what != "static" else 0
    cpu = cpu_seconds(stack.processes["httpd"].pid)
    ok, bad, seconds, p50, p99 = wrk(stack, what, links, args, args.seconds)
    cpu = cpu_seconds(stack.processes["httpd"].pid) - cpu
    made = events(stack) - before if what != "static" else 0
    note = "" if what == "static" else ", %d events" % made
    print("  %-6s %6.0f/s, other answers %d; median %.1f ms, p99 %.1f ms; "
          "httpd CPU %.0f us each%s" % (what, ok / seconds, bad, p50 / 1000,
                                        p99 / 1000, cpu / max(ok, 1) * 1e6,
                                        note), flush=True)
    if what != "static" and made < ok:
        sys.exit("%d answers, %d events" % (ok, made))
    return ok / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", default="sqlite")
    parser.add_argument("--posting", action="store_true")
    parser.add_argument("--wait", action="store_true",
                        help="for who wants to look at httpd under this load")
    args = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    stack = Stack(PLACE, variant="release", store=args.store)
    stopped = None
    try:
        stack.setup()
        seed(stack)
        links = write_links(stack)
        stack.start_smtpd()
        if not args.posting:
            stopped = wait_for("the notifier", lambda: next((
                p for p in children(stack.processes["smtpd"].pid)
                if "notifier" in title(p)), None))
            time.sleep(2)  # not while it has the store's lock
            os.kill(stopped, signal.SIGSTOP)
        stack.start_httpd()
        print("opens and clicks, %d connections, %s, full durability%s; %s" % (
            args.connections, args.store, ", hooks posted" if args.posting
            else "", conditions()), flush=True)
        if args.wait:
            print("httpd: %d" % stack.processes["httpd"].pid, flush=True)
        for what in links:
            wrk(stack, what, links[what], args, 2)
        rates = {what: [] for what in links}
        for _ in range(args.rounds):
            for what in links:
                rates[what].append(one(stack, what, links[what], args))
        counted = number(stack, "SELECT CAST(SUM(n) AS BIGINT) FROM"
                                " campaign_count")
        print("  %d events in all, %d of campaigns" % (events(stack), counted))
        for what in ("open", "click"):
            ratios = [a / b for a, b in zip(rates[what], rates["static"])]
            print("  %s: %.0f %% of the static file (median of %d; worst "
                  "%.0f %%)" % (what, 100 * statistics.median(ratios),
                                len(ratios), 100 * min(ratios)))
    finally:
        if stopped:
            os.kill(stopped, signal.SIGCONT)
        stack.stop()
        stack.clean()


if __name__ == "__main__":
    main()
