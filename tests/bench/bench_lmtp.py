#!/usr/bin/python3
"""make bench-lmtp: LMTP into sdbox, our plugin beside stock Dovecot.

Stock is the same configuration without our modules: no plugins, users in a
passwd-file. Messages a second over a few connections, each to one of many
mailboxes, in pairs; every mailbox has its INBOX before.
"""
import argparse
import os
import pwd
import re
import shutil
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.measure import (conditions, cpu_seconds,  # noqa: E402
                                 ratios)
from tests.stack.process import Process, free_ports, wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-lmtp")


def without_ours(text, stack, run, users):
    """The same dovecot.conf for stock Dovecot."""
    text = re.sub(r"^(passdb|userdb) \{.*?^\}\n", "", text, flags=re.M | re.S)
    text = re.sub(r"^plugin \{.*?^\}\n", "", text, flags=re.M | re.S)
    text = re.sub(r"^\s*mail_plugins = .*\n", "", text, flags=re.M)
    text = re.sub(r"^mail_plugin_dir = .*\n", "", text, flags=re.M)
    text = text.replace(stack.run + "/dovecot", run)
    text = text.replace("log/dovecot.log", "log/stock.log")
    names = ("imap", "imaps", "pop3", "pop3s")
    for name, port in zip(names, free_ports(len(names))):
        text = text.replace("port = %d\n" % getattr(stack, name + "_port"),
                            "port = %d\n" % port)
    return text + """
passdb {
  driver = passwd-file
  args = scheme=PLAIN %(users)s
}
userdb {
  driver = passwd-file
  args = %(users)s
}
""" % {"users": users}


class Stock:
    def __init__(self, stack, addresses):
        entry = pwd.getpwnam(stack.user)
        self.run = stack.run + "/stock"
        home, users = stack.dir + "/mail/stock", stack.dir + "/etc/users"
        os.makedirs(home)
        os.makedirs(self.run)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        with open(users, "w") as f:
            f.writelines("%s:x:%d:%d::%s/%d::\n" % (
                a, entry.pw_uid, entry.pw_gid, home, i)
                for i, a in enumerate(addresses))
        conf = stack.dir + "/etc/stock.conf"
        with open(stack.dir + "/etc/dovecot.conf") as f:
            text = without_ours(f.read(), stack, self.run, users)
        with open(conf, "w") as f:
            f.write(text)
        self.process = Process("stock", ["dovecot", "-F", "-c", conf],
                               stack.dir + "/log/stock.out")
        self.socket = self.run + "/lmtp"
        wait_for("stock Dovecot", lambda: os.path.exists(self.socket))
        self.pids = [self.process.pid]


def deliver(socket, addresses, count, size, connections, per_session):
    """Seconds that it takes."""
    lock, left, failed = threading.Lock(), [count], []
    body = ("From: a@b.test\r\nSubject: bench\r\n\r\n"
            + ("x" * 70 + "\r\n") * (size // 72))

    def run():
        while True:
            s = smtplib.LMTP(socket)
            s.ehlo_or_helo_if_needed()
            for _ in range(per_session):
                with lock:
                    if left[0] == 0:
                        s.quit()
                        return
                    left[0] -= 1
                    n = left[0]
                s.mail("<a@b.test>")
                s.rcpt(addresses[n % len(addresses)])
                reply = s.data("X-Mailgun-Delivery-Id: %d\r\n%s" % (
                    time.monotonic_ns(), body))
                if reply[0] != 250:
                    failed.append(reply)
            s.quit()
    threads = [threading.Thread(target=run) for _ in range(connections)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        sys.exit("LMTP: %s" % (failed[0],))
    return time.monotonic() - began


def measure(name, socket, pids, addresses, args):
    cpu = sum(map(cpu_seconds, pids))
    seconds = deliver(socket, addresses, args.count, args.size,
                      args.connections, args.session)
    rate = args.count / seconds
    print("  %-6s %6.0f messages/s   CPU %5.0f us/message" % (
        name, rate, (sum(map(cpu_seconds, pids)) - cpu) / args.count * 1e6),
        flush=True)
    return rate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", default="release")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--mailboxes", type=int, default=50)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--session", type=int, default=100,
                        help="messages of one connection")
    args = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    stack = Stack(PLACE, variant=args.variant)
    stock = None
    try:
        stack.setup()
        stack.start_smtpd()
        stack.start_dovecot()
        addresses = ["box%d@%s" % (i, stack.domain)
                     for i in range(args.mailboxes)]
        for a in addresses:
            stack.ctl("mailbox", "add", a, "bench-secret")
        stock = Stock(stack, addresses)
        ours = (stack.run + "/dovecot/lmtp",
                [stack.processes[n].pid for n in ("smtpd", "dovecot")])
        theirs = (stock.socket, stock.pids)
        for socket, _ in (ours, theirs):
            deliver(socket, addresses, 2 * len(addresses), 1000, 2, 1000)
        print("%s, %s; %d messages of %d octets, %d mailboxes, %d connections"
              % (conditions(), subprocess.run(
                  ["dovecot", "--version"], stdout=subprocess.PIPE,
                  text=True).stdout.split()[0], args.count, args.size,
                  args.mailboxes, args.connections))
        rates = [(measure("ours", *ours, addresses, args),
                  measure("stock", *theirs, addresses, args))
                 for _ in range(args.runs)]
        print("ours / stock: " + ratios(*zip(*rates)))
    finally:
        if stock:
            stock.process.stop()
        stack.stop()
        stack.clean()


if __name__ == "__main__":
    main()
