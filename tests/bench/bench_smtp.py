#!/usr/bin/python3
"""make bench-smtp: SMTP in -> queue -> SMTP out, ours against Postfix.

Postfix's own smtp-source sends (4 KB, one connection per message), its
smtp-sink takes; both servers as shipped, with full durability, one after the
other, in pairs. Ours takes the mail for a hosted domain and a route forwards
it to an address outside; Postfix relays it. Counted at the sink. A probe sends
a message now and then beside the load and times the answer to its end of data.

    natural     20 sessions, 4 KB              slow     100 sessions, syncs of 5 ms
    one         1 session                      hundred  100 sessions
    large       20 sessions, 50 KB             many     50 recipients a message
    asymmetric  20 sessions of 4 KB while one client sends 25 MB messages
"""
import argparse
import os
import re
import shutil
import signal
import smtplib
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.measure import (Syncs, conditions, cpu_seconds,  # noqa: E402
                                 percentile, ratios)
from tests.bench.postfix import Postfix  # noqa: E402
from tests.stack.process import free_ports, listens, wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-smtp")


class Sink:
    def __init__(self, port):
        self.count = 0
        self.popen = subprocess.Popen(
            ["smtp-sink", "-c", "-m", "3000", "-u", "nobody",
             "127.0.0.1:%d" % port, "4000"]
            if os.getuid() == 0 else
            ["smtp-sink", "-c", "-m", "3000", "127.0.0.1:%d" % port, "4000"],
            stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()
        wait_for("smtp-sink", lambda: listens(port))

    def read(self):
        data = b""
        while True:
            got = os.read(self.popen.stdout.fileno(), 65536)
            if not got:
                return
            data = (data + got)[-200:]
            found = re.findall(rb"mesg=(\d+)", data)
            if found:
                self.count = int(found[-1])

    def stop(self):
        self.popen.terminate()
        self.popen.wait()


class Probe(threading.Thread):
    """Messages at a gentle pace; how long the 250 took."""
    def __init__(self, port, to):
        super().__init__(daemon=True)
        self.port, self.to = port, to
        self.times, self.done = [], threading.Event()

    def run(self):
        body = b"Subject: probe\r\n\r\n" + b"x" * 4000 + b"\r\n.\r\n"
        while not self.done.wait(0.02):
            try:
                with smtplib.SMTP("127.0.0.1", self.port) as s:
                    s.ehlo("probe.test")
                    s.mail("probe@example.net")
                    s.rcpt(self.to)
                    s.docmd("DATA")
                    began = time.monotonic()
                    s.send(body)
                    if s.getreply()[0] == 250:
                        self.times.append(time.monotonic() - began)
            except (OSError, smtplib.SMTPException):
                pass


class Hog:
    """One client that sends large messages for as long as it lives."""
    def __init__(self, port, to, size):
        self.popen = subprocess.Popen(
            ["smtp-source", "-s", "1", "-m", "100000", "-l", str(size), "-f",
             "hog@example.net", "-t", to, "127.0.0.1:%d" % port],
            stderr=subprocess.DEVNULL)

    def stop(self):
        self.popen.kill()
        self.popen.wait()


def load(name, port, to, pid, sink, syncs, args, left=None):
    """One run; a dictionary of figures. left() says how many deliveries are
    in the queue, where messages at the sink do not tell."""
    base, cpu, fsyncs = sink.count, cpu_seconds(pid), syncs.count()
    hog = Hog(port, to, args.hog) if args.hog else None
    probe = Probe(port, to)
    probe.start()
    began = time.monotonic()
    subprocess.run(["smtp-source", "-s", str(args.sessions), "-m",
                    str(args.count), "-l", str(args.size), "-r",
                    str(args.recipients), "-f", "load@example.net", "-t", to,
                    "127.0.0.1:%d" % port], check=True)
    accepted = time.monotonic() - began
    probe.done.set()
    probe.join()
    if hog:
        hog.stop()
    total = args.count + len(probe.times)
    if args.hog:
        pass  # the hog's are among those at the sink
    elif left and args.recipients > 1:
        wait_for("the end of the queue", lambda: left() == 0, args.patience,
                 0.02)
    else:
        wait_for("%d messages at the sink" % total,
                 lambda: sink.count - base >= total, args.patience, 0.005)
    ended = time.monotonic() - began
    result = {
        "accept": total / accepted, "end to end": total / ended,
        "p99": percentile(probe.times, 0.99),
        "cpu": (cpu_seconds(pid) - cpu) / total,
        "syncs": (syncs.count() - fsyncs) / total,
    }
    print("  %-8s accepted %6.0f/s  end to end %6.0f/s  p99 of the 250 "
          "%6.1f ms  CPU %5.0f us/message  syncs %.2f/message" % (
              name, result["accept"], result["end to end"],
              result["p99"] * 1000, result["cpu"] * 1e6, result["syncs"]),
          flush=True)
    return result


def start_ours(sink_port, syncs):
    stack = Stack(PLACE + "/ours", variant="release", log_level="info",
                  extra="MailgunARC off\nMailgunClientLimit 2000\n"
                  "MailgunSessionLimit 4000\n"
                  "MailgunTransport out.test 127.0.0.1:%d\n" % sink_port)
    stack.setup()
    stack.ctl("route", "add", stack.account, "--priority", "1",
              "--expression", 'match_recipient(".*bench@.*")',
              "--action", 'forward("sink@out.test")')
    env = stack.environment()
    del env["MG_TEST_DIR"]
    env.update(syncs.env())
    stack.environment = lambda: env
    stack.start_smtpd()
    return stack


def queued(stack):
    """Deliveries in our store."""
    with sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % stack.dir,
                         uri=True) as db:
        return db.execute("SELECT count(*) FROM delivery").fetchone()[0]


def compare(args, slow_us):
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    syncs = Syncs(PLACE, slow_us)
    sink_port = free_ports(1)[0]
    sink = Sink(sink_port)
    ours, peers = [], []
    print("\n%s: %d messages of %d bytes, %d recipients each, %d sessions, one "
          "connection each%s%s" % (
              args.what, args.count, args.size, args.recipients,
              args.sessions, "; each sync slowed to %g ms" % (slow_us / 1000)
              if slow_us else "", "; beside one client that sends messages of "
              "%d bytes" % args.hog if args.hog else ""), flush=True)
    try:
        for _ in range(args.pairs):
            stack = start_ours(sink_port, syncs)
            try:
                ours.append(load("ours", stack.smtp_port,
                                 "bench@" + stack.domain,
                                 stack.processes["smtpd"].pid, sink, syncs,
                                 args, lambda s=stack: queued(s)))
            finally:
                stack.stop()
            if args.alone:
                continue
            postfix = Postfix(PLACE + "/postfix", sink_port, syncs)
            try:
                peers.append(load("Postfix", postfix.port, "bench@out.test",
                                  postfix.pid, sink, syncs, args))
            finally:
                postfix.stop()
    finally:
        sink.stop()
    if args.alone:
        return
    for what in ("accept",) if args.hog else ("accept", "end to end"):
        print("  %-11s ours against Postfix: %s" % (what, ratios(
            [r[what] for r in ours], [r[what] for r in peers])))
    print("  p99 of the 250: ours %.1f ms, Postfix %.1f ms (medians)" % (
        statistics.median(r["p99"] for r in ours) * 1000,
        statistics.median(r["p99"] for r in peers) * 1000))


# what: sessions, size, recipients, share of --count, slowed syncs, hog's size
WORK = {
    "natural": (20, 4096, 1, 1, 0, 0),
    "slow": (100, 4096, 1, 1, 5000, 0),
    "one": (1, 4096, 1, 0.25, 0, 0),
    "hundred": (100, 4096, 1, 1, 0, 0),
    "large": (20, 50 * 1024, 1, 0.5, 0, 0),
    "many": (20, 4096, 50, 0.05, 0, 0),
    "asymmetric": (20, 4096, 1, 1, 0, 25000000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--patience", type=int, default=120)
    parser.add_argument("--alone", action="store_true",
                        help="ours without the peer")
    parser.add_argument("--only", nargs="*", choices=WORK,
                        default=["natural", "slow"])
    args = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("bench-smtp: Postfix starts as root only")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("SMTP in, queue, SMTP out: ours and Postfix %s; %s" % (
        subprocess.run(["postconf", "-dh", "mail_version"], text=True,
                       stdout=subprocess.PIPE).stdout.strip(), conditions()))
    count = args.count
    for args.what in args.only:
        (args.sessions, args.size, args.recipients, share, slow_us,
         args.hog) = WORK[args.what]
        args.count = int(count * share)
        compare(args, slow_us)


if __name__ == "__main__":
    main()
