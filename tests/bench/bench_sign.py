#!/usr/bin/python3
"""make bench-sign: what a signature costs besides the private key.

One sender, rsa-2048, a copy for each recipient rendered and signed as it goes
out, into smtp-sink. The messages are queued beforehand and come due together.
Copies per second of the sender's CPU, against what `openssl speed rsa2048`
signs per second of its own, right before and after on the same machine; and
once more without signatures, for the rest of the way.
"""
import argparse
import email.utils
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.bench_smtp import Sink  # noqa: E402
from tests.bench.measure import conditions  # noqa: E402
from tests.stack.process import children, free_ports, wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-sign")


def openssl(seconds):
    """Signatures per second of CPU."""
    out = subprocess.run(["openssl", "speed", "-seconds", str(seconds),
                          "rsa2048"], stdout=subprocess.PIPE, text=True,
                         stderr=subprocess.DEVNULL, check=True).stdout
    return float(re.search(r"^rsa 2048 bits +\S+s +\S+s +(\S+)", out,
                           re.M).group(1))


def sender_of(stack):
    for pid in children(stack.processes["smtpd"].pid):
        with open("/proc/%d/cmdline" % pid) as f:
            if "sender" in f.read():
                return pid
    sys.exit("bench-sign: there is no sender")


def cpu(pid):
    """Nanoseconds on the CPU."""
    with open("/proc/%d/schedstat" % pid) as f:
        return int(f.read().split()[0])


def queue(stack, copies, recipients, size, due):
    for n in range(copies // recipients):
        to = ["r%d@out.test" % i for i in range(recipients)]
        r = stack.api("POST", "/%s/messages" % stack.domain, data={
            "from": "Bench <bench@%s>" % stack.domain, "to": to,
            "subject": "%%recipient.n%% of %d" % n,
            "text": "n %recipient.n%\n" + ("x" * 71 + "\n") * (size // 72),
            "o:deliverytime": email.utils.formatdate(due),
            "recipient-variables": json.dumps(
                {a: {"n": i} for i, a in enumerate(to)})})
        assert r.status_code == 200, r.text


def run(sink, args, signatures):
    """(copies per second of CPU, copies per second)"""
    stack = Stack(PLACE + "/ours", variant="release",
                  extra="MailgunTransport out.test 127.0.0.1:%d\n"
                        "MailgunDKIM %s\n" % (args.port, signatures))
    try:
        stack.setup()
        stack.start_smtpd()
        stack.start_httpd()
        due = int(time.time()) + 5 + args.copies // 400
        queue(stack, args.copies, args.recipients, args.size, due)
        if time.time() >= due:
            sys.exit("bench-sign: too slow a machine: fewer --copies")
        pid, base = sender_of(stack), sink.count
        spent = cpu(pid)
        wait_for("the first", lambda: sink.count > base, 60, 0.002)
        began = time.monotonic()
        wait_for("%d copies" % args.copies,
                 lambda: sink.count - base >= args.copies, args.patience,
                 0.002)
        took = time.monotonic() - began
        time.sleep(0.5)
        spent = (cpu(pid) - spent) / 1e9
        return args.copies / spent, args.copies / took
    finally:
        stack.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--copies", type=int, default=5000)
    parser.add_argument("--recipients", type=int, default=100)
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--patience", type=int, default=180)
    args = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    args.port = free_ports(1)[0]
    sink = Sink(args.port)
    print("one sender, a copy of %d octets for each recipient; %s"
          % (args.size, conditions()))
    found = []
    try:
        for _ in range(args.pairs):
            before = openssl(2)
            ours, rate = run(sink, args, "rsa")
            speed = (before + openssl(2)) / 2
            found.append(ours / speed)
            print("  openssl speed %6.0f/s   ours %6.0f/s of CPU (%4.0f %%), "
                  "%6.0f/s by the clock" % (speed, ours, 100 * ours / speed,
                                            rate), flush=True)
        both, _ = run(sink, args, "rsa ed25519")
        none, _ = run(sink, args, "none")
        print("  rsa and ed25519: %.0f/s of CPU; unsigned: %.0f/s"
              % (both, none))
    finally:
        sink.stop()
    print("  ours against openssl speed: median %.0f %%, worst %.0f %%"
          % (100 * statistics.median(found), 100 * min(found)))


if __name__ == "__main__":
    main()
