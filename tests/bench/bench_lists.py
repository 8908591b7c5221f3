#!/usr/bin/python3
"""make bench-lists: a post to a mailing list of --members members (350,000).

Members are put into a SQLite store, the message is posted by the API. Printed
are the time until the sink has the first copy, how fast members' deliveries
come into the queue, the most memory the keeper had, how fast the sink gets
copies while they do, and how long another domain's mail takes from the API to
its delivery, before and meanwhile. The peer: the same list as an alias of
Postfix (:include:, a transaction for each member, as ours are), by SMTP, until
its first copy and for as long as ours took. Messages are not signed.
"""
import argparse
import os
import shutil
import signal
import smtplib
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.bench_queue import Memory  # noqa: E402
from tests.bench.bench_smtp import Sink  # noqa: E402
from tests.bench.measure import Syncs, conditions, percentile  # noqa: E402
from tests.bench.postfix import Postfix  # noqa: E402
from tests.stack.process import free_ports, wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-lists")


def start(sink_port):
    stack = Stack(PLACE + "/ours", variant="release", log_level="info",
                  extra="MailgunTransport * [127.0.0.1]:%d\n" % sink_port)
    stack.setup()
    path = stack.dir + "/etc/mailgun.conf"
    with open(path) as f:
        lines = f.readlines()
    with open(path, "w") as f:
        f.writelines(line for line in lines
                     if not line.startswith("MailgunTransport")
                     or line.endswith(":%d\n" % sink_port))
    env = stack.environment()
    env.pop("MG_TEST_DIR", None)
    stack.environment = lambda: env
    return stack


def fill(stack, list_address, n):
    db = sqlite3.connect(stack.dir + "/store/mailgun.db", timeout=60)
    list_id, = db.execute("SELECT id FROM list WHERE address = ?",
                          (list_address,)).fetchone()
    now = int(time.time() * 1e6)
    db.executemany(
        "INSERT INTO list_member (list_id, address_lc, address, name,"
        " description, vars, subscribed, created_at) VALUES (?, ?, ?, ?, '',"
        " '{\"age\": 26}', 1, ?)",
        ((list_id, "m%06d@d%d.test" % (i, i % 500), "m%06d@d%d.test"
          % (i, i % 500), "Member %d" % i, now) for i in range(n)))
    db.execute("UPDATE list SET members = ? WHERE id = ?", (n, list_id))
    db.commit()
    db.close()


class Others(threading.Thread):
    """Mail of another domain, four a second: from the API's call to the event
    that it was delivered."""
    def __init__(self, stack, domain):
        super().__init__(daemon=True)
        self.stack, self.domain = stack, domain
        self.times, self.done = [], threading.Event()
        self.db = sqlite3.connect("file:%s/store/mailgun.db?mode=ro"
                                  % stack.dir, uri=True, timeout=60,
                                  check_same_thread=False)

    def run(self):
        n = 0
        while not self.done.wait(0.25):
            n += 1
            to, began = "o%d@others.test" % n, time.monotonic()
            self.stack.api("POST", "/%s/messages" % self.domain, data={
                "from": "me@" + self.domain, "to": to, "subject": "x",
                "text": "x"})
            while not self.done.is_set() and not self.db.execute(
                    "SELECT 1 FROM event WHERE kind = 'delivered' AND"
                    " recipient = ? LIMIT 1", (to,)).fetchone():
                time.sleep(0.005)
            if not self.done.is_set():
                self.times.append((time.monotonic() - began) * 1000)

    def words(self, since=0):
        t = self.times[since:]
        return "median %.0f ms, p99 %.0f ms (%d)" % (
            percentile(t, 0.5), percentile(t, 0.99), len(t))


def ours(args):
    port = free_ports(1)[0]
    sink, stack = Sink(port), start(port)
    memory = Memory()
    try:
        stack.ctl("domain", "set", stack.domain, "dkim=no") \
            if args.unsigned else None
        stack.ctl("domain", "add", "other.test", "--account", stack.account)
        address = "dev@" + stack.domain
        stack.ctl("list", "add", address)
        fill(stack, address, args.members)
        subprocess.run(["chown", "-R", "%s:%s" % (stack.user, stack.user),
                        stack.dir + "/store"], check=os.getuid() == 0)
        stack.start_smtpd()
        stack.start_httpd()
        others = Others(stack, "other.test")
        others.start()
        time.sleep(args.before)
        before, base = len(others.times), sink.count
        print("others before: " + others.words(), flush=True)
        db = sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % stack.dir,
                             uri=True, timeout=60)
        began = time.monotonic()
        stack.send(to=address, subject="Hello %recipient_fname%",
                   text="x" * 1000)

        def expanded():
            return db.execute("SELECT COALESCE(MAX(recipients), 0) FROM"
                              " message").fetchone()[0]
        first = None
        pid = stack.processes["smtpd"].pid
        while True:
            n = expanded()
            # others' four a second are not the list's
            if first is None and sink.count - base > 8:
                first = time.monotonic() - began
            if n >= args.members:
                break
            memory.look(pid)
            time.sleep(0.01)
        took, copies = time.monotonic() - began, sink.count - base
        memory.look(pid)
        print("first copies after %.2f s; %d members in the queue after %.1f "
              "s: %.0f/s; keeper %.0f MB; copies meanwhile %.0f/s" % (
                  first if first else took, args.members, took,
                  args.members / took, max(
                      [v for k, v in memory.peak.items() if "keeper" in k]
                      or [0]),
                  copies / took), flush=True)
        time.sleep(args.before)
        print("others meanwhile: " + others.words(before), flush=True)
        others.done.set()
        others.join()
        db.close()
        return first or took, copies / took, took
    finally:
        stack.stop()
        stack.clean()
        sink.stop()


class ListPostfix(Postfix):
    def call(self, verb):
        if verb == "start":
            with open(self.dir + "/etc/main.cf") as f:
                lines = [line for line in f
                         if not line.startswith("mydestination")]
            with open(self.dir + "/etc/main.cf", "w") as f:
                f.writelines(lines)
                f.write("mydestination = lists.bench.test\n"
                        "local_recipient_maps =\n"
                        "alias_maps = hash:%s/etc/aliases\n"
                        "smtp_destination_recipient_limit = 1\n"
                        "smtp_destination_concurrency_limit = 100\n"
                        "default_process_limit = 100\n" % self.dir)
            subprocess.run(["postalias", "-c", self.dir + "/etc",
                            "hash:%s/etc/aliases" % self.dir], check=True)
        super().call(verb)

    def master_cf(self):
        with open(self.dir + "/members", "w") as f:
            f.writelines("m%06d@d%d.test\n" % (i, i % 500)
                         for i in range(self.members))
        os.chmod(self.dir + "/members", 0o644)
        with open(self.dir + "/etc/aliases", "w") as f:
            f.write("dev: :include:%s/members\nowner-dev: dev2\n" % self.dir)
        super().master_cf()


def peer(args, seconds):
    port = free_ports(1)[0]
    sink = Sink(port)
    ListPostfix.members = args.members
    postfix = ListPostfix("/tmp/bench-lists-postfix", port, Syncs(PLACE))
    try:
        base, began = sink.count, time.monotonic()
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=600) as s:
            s.sendmail("me@example.net", ["dev@lists.bench.test"],
                       b"Subject: Hello\r\n\r\n" + b"x" * 1000 + b"\r\n")
        wait_for("Postfix's first copy", lambda: sink.count > base, 600, 0.005)
        first = time.monotonic() - began
        time.sleep(max(seconds, 5))
        took = time.monotonic() - began
        return first, (sink.count - base) / took
    finally:
        postfix.stop()
        sink.stop()
        shutil.rmtree("/tmp/bench-lists-postfix", ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--members", type=int, default=350000)
    parser.add_argument("--before", type=float, default=5)
    parser.add_argument("--unsigned", type=int, default=1)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    print("a mailing list, SQLite; " + conditions(), flush=True)
    first, rate, took = ours(args)
    peer_first, peer_rate = peer(args, min(took, 60))
    print("first copy: ours %.2f s, Postfix %.2f s, ratio %.1f x; copies: ours "
          "%.0f/s, Postfix %.0f/s, ratio %.2f x" % (
              first, peer_first, peer_first / first, rate, peer_rate,
              rate / peer_rate if peer_rate else 0), flush=True)


if __name__ == "__main__":
    main()
