#!/usr/bin/python3
"""make bench-queue: a full queue to many destinations, some of them dead.

Rows are put into a SQLite store: --count deliveries to --destinations domains,
each with a mail exchanger of its own by a private DNS server, a tenth of them
dead: half refuse connections, half do not answer. Postfix's smtp-sink takes the
others' mail. Printed are the sink's own speed (smtp-source straight into it);
in pairs of --pair-count deliveries, how fast the living are drained without and
with the dead; and of the whole --count, after a SIGKILL of all of smtpd: the
first delivery, and until all that was claimed at the kill was tried again, then
how fast the living are drained, for --patience seconds at most, and the most
memory that workers had. Messages are not signed.
"""
import argparse
import os
import shutil
import signal
import socket
import statistics
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.bench_smtp import Sink  # noqa: E402
from tests.bench.measure import conditions, cpu_seconds  # noqa: E402
from tests.stack.process import (Process, children, free_ports,  # noqa: E402
                                 wait_for)
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-queue")
LIVING, REFUSES, SILENT = "127.0.0.1", "127.0.0.2", "127.0.0.3"


class Silence:
    """An address where connections hang: a backlog that is full."""
    def __init__(self, port):
        self.listener = socket.socket()
        self.listener.bind((SILENT, port))
        self.listener.listen(0)
        self.fill = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((SILENT, port))
            self.fill.append(s)

    def stop(self):
        for s in self.fill + [self.listener]:
            s.close()


def host_of(n, args):
    if n >= args.dead:
        return LIVING
    return REFUSES if n % 2 else SILENT


class Dns:
    def __init__(self, args):
        self.port = free_ports(1)[0]
        path = PLACE + "/dnsmasq.conf"
        with open(path, "w") as f:
            f.write("port=%d\nlisten-address=127.0.0.1\nbind-interfaces\n"
                    "no-resolv\nno-hosts\npid-file=\nuser=\nlocal=/test/\n"
                    "keep-in-foreground\ndns-forward-max=10000\n" % self.port)
            for n in range(args.destinations):
                f.write("mx-host=d%d.test,mx%d.test,10\n"
                        "host-record=mx%d.test,%s,3600\n" % (
                            n, n, n, host_of(n, args)))
        self.process = Process("dnsmasq", [
            "dnsmasq", "--conf-file=" + path], PLACE + "/dnsmasq.log")
        wait_for("dnsmasq", lambda: open("/proc/net/udp").read().count(
            ":%04X" % self.port))

    def stop(self):
        self.process.stop()


def fill(path, args, first, count):
    """Deliveries to the destinations from number first on, all due; one
    message for each hundred, or for each of the destinations."""
    content = (b"From: me@samples.mailgun.test\r\nSubject: bench\r\n\r\n"
               + b"x" * 70 + b"\r\n") * 1
    content += (b"x" * 70 + b"\r\n") * (args.size // 72)
    db = sqlite3.connect(path)
    domain, account = db.execute(
        "SELECT id, account_id FROM domain").fetchone()
    now = int(time.time() * 1e6)
    base = db.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM message"
                      ).fetchone()[0] + (int(time.time() * 1000) << 22)
    names = ["d%d.test" % n for n in range(first, args.destinations)]
    total = count * len(names) // args.destinations
    rows, messages = [], []
    each = min(100, len(names))  # one transaction for each delivery
    for n in range(total):
        m = n // each
        if n % each == 0:
            messages.append((base + m, account, domain, "%d@bench" % m, now))
        dest = names[n % len(names)]
        rows.append((base + n, base + m, account, domain, "r%d@%s" % (n, dest),
                     "r%d@%s" % (n, dest), dest, now - 1000000, now,
                     now + 86400000000 * 3))
    db.executemany(
        "INSERT INTO message (id, account_id, domain_id, direction, method,"
        " message_id, sender, from_header, subject, options, variables, size,"
        " recipients, deliveries, created_at) VALUES (?, ?, ?, 0, 'http', ?,"
        " 'me@samples.mailgun.test', 'me@samples.mailgun.test', 'bench',"
        " '{\"dkim\":false}', '{}', %d, 100, 100, ?)" % len(content), messages)
    db.executemany("INSERT INTO content (message_id, seq, bytes)"
                   " VALUES (?, 0, ?)", [(m[0], content) for m in messages])
    db.executemany(
        "INSERT INTO delivery (id, message_id, account_id, domain_id,"
        " transport, recipient, recipient_as_given, variables, dest, target,"
        " payload, due_at, created_at, expires_at) VALUES (?, ?, ?, ?, 1, ?,"
        " ?, '{}', ?, '', '', ?, ?, ?)", rows)
    db.commit()
    db.close()
    return total


class Memory:
    """The most that each worker ever had, in MB."""
    def __init__(self):
        self.peak = {}

    def look(self, pid):
        for one in children(pid):
            try:
                with open("/proc/%d/status" % one) as f:
                    fields = dict(line.split(":", 1) for line in f)
                with open("/proc/%d/cmdline" % one) as f:
                    name = f.read().split("\0")[0].split(":")[-1].strip()
                peak = int(fields["VmHWM"].split()[0]) / 1024
            except (OSError, KeyError):
                continue
            self.peak[name] = max(peak, self.peak.get(name, 0))

    def words(self):
        return ", ".join("%s %.0f MB" % item
                         for item in sorted(self.peak.items()))


def start(args, dns, sink_port, name):
    stack = Stack(PLACE + "/" + name, variant="release", log_level="info",
                  extra="MailgunResolver 127.0.0.1:%d\nMailgunSMTPPort %d\n"
                  "MailgunRetry 1m 5m 15m\n" % (dns.port, sink_port))
    stack.setup()
    path = stack.dir + "/etc/mailgun.conf"
    with open(path) as f:
        lines = [line for line in f if not line.startswith("MailgunTransport")]
    with open(path, "w") as f:
        f.writelines(lines)
    env = stack.environment()
    env.pop("MG_TEST_DIR", None)
    stack.environment = lambda: env
    return stack


def own_speed(sink, port, args):
    base, began = sink.count, time.monotonic()
    n = min(args.count, 20000)
    subprocess.run(["smtp-source", "-s", "20", "-m", str(n), "-l",
                    str(args.size), "-d", "-f", "a@example.net", "-t",
                    "b@example.org", "127.0.0.1:%d" % port], check=True)
    wait_for("the sink", lambda: sink.count - base >= n, 60, 0.005)
    speed = n / (time.monotonic() - began)
    print("the sink by itself: %.0f/s (20 connections, %d octets)" % (
        speed, args.size), flush=True)
    return speed


def drain(stack, sink, base, total, args, memory):
    """Until the sink has them all. @return per second"""
    pid = stack.processes["smtpd"].pid
    began, cpu = time.monotonic(), cpu_seconds(pid)
    before = sink.count
    while sink.count - base < total:
        time.sleep(0.05)
        memory.look(pid)
        if time.monotonic() - began > args.patience:
            print("  ended here, after %d of %d" % (sink.count - base, total))
            break
    took, n = time.monotonic() - began, sink.count - before
    print("  %d in %.1f s: %.0f/s, CPU %.0f us/message; workers: %s; load %.0f"
          % (n, took, n / took, (cpu_seconds(pid) - cpu) / n * 1e6,
             memory.words(), os.getloadavg()[0]), flush=True)
    return n / took


def kill_and_restart(stack, sink):
    """SIGKILL for all of smtpd, amid work."""
    pid = stack.processes["smtpd"].pid
    for one in [pid] + children(pid):
        os.kill(one, signal.SIGKILL)
    stack.processes["smtpd"].popen.wait()
    db = sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % stack.dir,
                         uri=True)
    claimed = dict(db.execute(
        "SELECT id, claim_no FROM delivery WHERE claimed_by <> 0"))
    left = db.execute("SELECT COUNT(*) FROM delivery").fetchone()[0]
    time.sleep(0.5)
    base, began = sink.count, time.monotonic()
    stack.start_smtpd()
    wait_for("a delivery", lambda: sink.count > base, 60, 0.005)
    first = time.monotonic() - began

    def waiting():
        return [i for i in claimed if db.execute(
            "SELECT 1 FROM delivery WHERE id = ? AND claim_no = ?",
            (i, claimed[i])).fetchone()]
    while claimed and waiting():
        claimed = {i: claimed[i] for i in waiting()}
        if time.monotonic() - began > 60:
            print("  %d were not tried again" % len(claimed))
            break
        time.sleep(0.05)
    again = time.monotonic() - began
    db.close()
    print("killed with %d queued; first delivery after %.2f s, all that was "
          "claimed tried again after %.2f s" % (left, first, again),
          flush=True)


def run(args, dns, sink, port, first, count, kill):
    name = "dead" if first == 0 else "living"
    stack = start(args, dns, port, name)
    memory = Memory()
    try:
        began = time.monotonic()
        total = fill(stack.dir + "/store/mailgun.db", args, first,
                     count)
        subprocess.run(["chown", "-R", "%s:%s" % (stack.user, stack.user),
                        stack.dir + "/store"], check=os.getuid() == 0)
        dead = args.dead * total // args.destinations if first == 0 else 0
        print("%d deliveries to %d destinations, %d of them dead (filled in "
              "%.0f s)" % (total, args.destinations - first,
                           args.dead if first == 0 else 0,
                           time.monotonic() - began), flush=True)
        base = sink.count
        stack.start_smtpd()
        if kill:
            wait_for("some", lambda: sink.count - base > total / 50, 300)
            memory.look(stack.processes["smtpd"].pid)
            kill_and_restart(stack, sink)
            # a remote that said 250 may have it twice: counted by the store
        return drain(stack, sink, base, total - dead, args, memory)
    finally:
        stack.stop()
        stack.clean()


def in_pairs(args, dns, sink, port):
    """Without, with, without, with."""
    rates = []
    for _ in range(args.pairs):
        rates.append([run(args, dns, sink, port, first, args.pair_count,
                          False) for first in (args.dead, 0)])
    each = [100 * dead / living for living, dead in rates]
    print("without the dead %.0f/s, with them %.0f/s; of each pair %s; median "
          "%.0f %%" % (statistics.median(r[0] for r in rates),
                       statistics.median(r[1] for r in rates),
                       ", ".join("%.0f %%" % e for e in each),
                       statistics.median(each)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000000)
    parser.add_argument("--destinations", type=int, default=1000)
    parser.add_argument("--dead", type=int, default=100)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--patience", type=int, default=3600)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--pair-count", type=int, default=50000)
    parser.add_argument("--only", choices=["living", "pairs", "whole"])
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    print("a full queue, SQLite; " + conditions(), flush=True)
    port = free_ports(1)[0]
    sink, dns, silence = Sink(port), Dns(args), Silence(port)
    try:
        own_speed(sink, port, args)
        if args.only == "living":
            run(args, dns, sink, port, args.dead, args.count, False)
        if args.only in (None, "pairs"):
            in_pairs(args, dns, sink, port)
        if args.only in (None, "whole"):
            run(args, dns, sink, port, 0, args.count, True)
    finally:
        silence.stop()
        dns.stop()
        sink.stop()


if __name__ == "__main__":
    main()
