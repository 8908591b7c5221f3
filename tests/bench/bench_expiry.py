#!/usr/bin/python3
"""make bench-expiry: POST /messages while 1,000,000 events expire.

The store is filled as by bench-events, with events of 30 days ago and before.
Three spans of --seconds with --connections of wrk posting: without old events
to remove (MailgunEventRetention 400d), while the keeper removes them (1d), and
without again. Printed are accepted/s, median and p99 of each, how many events
went meanwhile, and the ratio of the second p99 to the mean of the others.
"""
import argparse
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench import bench_events  # noqa: E402
from tests.bench.bench_api import run  # noqa: E402
from tests.bench.bench_smtp import Sink  # noqa: E402
from tests.bench.measure import conditions  # noqa: E402
from tests.stack.process import free_ports  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402


def retention(stack, value):
    """Change the directive; smtpd reads it when it starts."""
    path = stack.dir + "/etc/mailgun.conf"
    with open(path) as f:
        text = re.sub(r"(?m)^MailgunEventRetention .*$",
                      "MailgunEventRetention " + value, f.read())
    with open(path, "w") as f:
        f.write(text)
    stack.restart("smtpd")


def old_events(db):
    before = (int(time.time() * 1000) - bench_events.EPOCH_MS
              - 86400 * 1000) << 22
    return int(db.rows("SELECT COUNT(*) FROM event WHERE id < %d"
                       % before)[0][0])


def span(stack, db, args, name, value):
    retention(stack, value)
    time.sleep(2)
    before = old_events(db)
    ok, bad, seconds, p50, p99, worst = run(stack, args.connections,
                                            args.seconds)
    print("  %-10s accepted %5.0f/s, refused %d; latency median %.1f ms, p99 "
          "%.1f ms, worst %.0f ms; %d old events went; load %.0f" % (
              name, ok / seconds, bad, p50, p99, worst,
              before - old_events(db), os.getloadavg()[0]), flush=True)
    return p99


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--store", nargs="*",
                        default=["sqlite", "postgresql"])
    args = parser.parse_args()
    bench_events.AGE_MS = 30 * 86400 * 1000
    print("POST /messages while %d events expire, %d connections; %s" % (
        args.events, args.connections, conditions()))
    for store in args.store:
        port = free_ports(1)[0]
        stack = Stack(os.path.join(ROOT, "build", "bench-expiry-" + store),
                      variant="release", store=store,
                      extra="MailgunTransport out.test 127.0.0.1:%d\n"
                      "MailgunEventRetention 400d\n" % port)
        sink = Sink(port)
        try:
            stack.setup()
            stack.ctl("domain", "set", stack.domain, "dkim=no")
            for k in range(1, bench_events.DOMAINS):
                stack.ctl("domain", "add", "d%d.bench.test" % k, "--account",
                          stack.account, "--password", "bench-secret")
            db = bench_events.Db(stack)
            bench_events.fill(stack, db, args)
            stack.start_smtpd()
            stack.start_httpd()
            run(stack, args.connections, 5)
            calm = [span(stack, db, args, "calm", "400d")]
            busy = []
            for _ in range(args.pairs):
                busy.append(span(stack, db, args, "expiring", "1d"))
                calm.append(span(stack, db, args, "calm", "400d"))
            print("  p99 while events expire / without: %.2f" % (
                (sum(busy) / len(busy)) / (sum(calm) / len(calm))),
                flush=True)
        finally:
            stack.stop()
            sink.stop()
            stack.clean()
            shutil.rmtree(stack.wanted_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
