#!/usr/bin/python3
"""make bench-api: accepted POST /messages per second, durable, with senders
draining to smtp-sink; latency at the median and p99 (wrk)."""
import argparse
import base64
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.bench_smtp import Sink  # noqa: E402
from tests.bench.measure import conditions, cpu_seconds  # noqa: E402
from tests.stack.process import free_ports  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-api")


def run(stack, connections, seconds):
    auth = base64.b64encode(b"api:" + stack.key.encode()).decode()
    out = subprocess.run(
        ["wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d",
         "%ds" % seconds, "--timeout", "30s", "-s",
         ROOT + "/tests/bench/post.lua",
         "http://127.0.0.1:%d/v2/%s/messages" % (
             stack.api_port, stack.domain)],
        env=dict(os.environ, BENCH_AUTH="Basic " + auth,
                 BENCH_DOMAIN=stack.domain),
        text=True, stdout=subprocess.PIPE, check=True).stdout
    line = [x for x in out.splitlines() if x.startswith("RESULT")]
    if not line:
        sys.exit(out)
    ok, bad, duration, p50, p99, worst = line[0].split()[1:]
    return (int(ok), int(bad), float(duration), int(p50) / 1000,
            int(p99) / 1000, int(worst) / 1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--connections", type=int, nargs="*", default=[32])
    parser.add_argument("--unsigned", action="store_true",
                        help="outgoing mail without DKIM")
    args = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    sink_port = free_ports(1)[0]
    stack = Stack(PLACE, variant="release", extra="MailgunTransport out.test "
                  "127.0.0.1:%d\n" % sink_port)
    sink = Sink(sink_port)
    try:
        stack.setup()
        if args.unsigned:
            stack.ctl("domain", "set", stack.domain, "dkim=no")
        stack.start_smtpd()
        stack.start_httpd()
        print("POST /messages, 4 KB, full durability, senders draining%s; %s" % (
            ", mail not signed" if args.unsigned else "", conditions()))
        for connections in args.connections:
            base, began = sink.count, time.monotonic()
            cpu = cpu_seconds(stack.processes["httpd"].pid)
            ok, bad, seconds, p50, p99, worst = run(stack, connections,
                                                    args.seconds)
            cpu = cpu_seconds(stack.processes["httpd"].pid) - cpu
            print("  %3d connections: accepted %6.0f/s, refused %d; latency "
                  "median %.1f ms, p99 %.1f ms, worst %.0f ms; httpd CPU "
                  "%.0f us/message; left meanwhile %.0f/s" % (
                      connections, ok / seconds, bad, p50, p99, worst,
                      cpu / max(ok, 1) * 1e6,
                      (sink.count - base) / (time.monotonic() - began)),
                  flush=True)
    finally:
        stack.stop()
        sink.stop()
        stack.clean()


if __name__ == "__main__":
    main()
