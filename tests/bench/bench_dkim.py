#!/usr/bin/python3
"""make bench-dkim: rsa-2048, a signature for each recipient, end to end.

Ours takes messages by POST /messages with --recipients recipients and
recipient-variables: each gets a copy of its own, rendered and signed as it goes
out. Postfix takes a message a recipient from smtp-source, OpenDKIM signs it.
Copies a second at smtp-sink, in pairs. Before that one copy of each is kept and
looked at: it carries a signature.
"""
import argparse
import base64
import glob
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.bench_smtp import Sink  # noqa: E402
from tests.bench.measure import (Syncs, conditions, cpu_seconds,  # noqa: E402
                                 ratios)
from tests.bench.opendkim import OpenDkim  # noqa: E402
from tests.bench.postfix import Postfix  # noqa: E402
from tests.stack.process import free_ports, listens, wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-dkim")
CLIENTS = 4


def post_body(domain, recipients, size):
    to = ["r%d@out.test" % i for i in range(recipients)]
    return urllib.parse.urlencode({
        "from": "Bench <bench@%s>" % domain, "to": ", ".join(to),
        "subject": "to %recipient%", "text": "n %recipient.n%\n" + "x" * size,
        "recipient-variables": json.dumps({a: {"n": i}
                                           for i, a in enumerate(to)}),
    })


class Posts:
    """Clients that post until count messages were taken."""
    def __init__(self, stack, body, count):
        self.port, self.body, self.left = stack.api_port, body, count
        self.path = "/v2/%s/messages" % stack.domain
        self.headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": "Basic " + base64.b64encode(
                b"api:" + stack.key.encode()).decode()}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run)
                        for _ in range(min(CLIENTS, count))]
        for t in self.threads:
            t.start()

    def run(self):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while True:
            with self.lock:
                if self.left == 0:
                    return
                self.left -= 1
            link.request("POST", self.path, self.body, self.headers)
            reply = link.getresponse()
            text = reply.read()
            if reply.status != 200:
                sys.exit("POST /messages: %d %s" % (reply.status, text))

    def wait(self):
        for t in self.threads:
            t.join()


def signature(send):
    """Which header fields of DKIM a copy has; send(port) sends one there."""
    port = free_ports(1)[0]
    kept = PLACE + "/kept"
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept)
    os.chmod(kept, 0o777)
    popen = subprocess.Popen(["smtp-sink", "-u", "nobody", "-d", kept + "/",
                              "127.0.0.1:%d" % port, "10"])

    def text():
        return "".join(open(path, errors="replace").read()
                       for path in glob.glob(kept + "/*"))

    stop = None
    try:
        wait_for("smtp-sink", lambda: listens(port))
        stop = send(port)
        wait_for("a copy", lambda: len(text()) > 1000, 30)
        time.sleep(0.2)
    finally:
        if stop:
            stop()
        popen.terminate()
        popen.wait()
    return re.findall(r"^DKIM-Signature:.*?a=([a-z0-9-]+)", text(),
                      re.M | re.S | re.I)


def start_ours(sink_port):
    stack = Stack(PLACE + "/ours", variant="release",
                  extra="MailgunTransport out.test 127.0.0.1:%d\n" % sink_port)
    stack.setup()
    stack.start_smtpd()
    stack.start_httpd()
    return stack


def run_ours(sink_port, sink, args):
    stack = start_ours(sink_port)
    try:
        body = post_body(stack.domain, args.recipients, args.size)
        pids = [stack.processes[n].pid for n in ("smtpd", "httpd")]
        base, cpu = sink.count, sum(map(cpu_seconds, pids))
        posts = -(-args.count // args.recipients)
        total = posts * args.recipients
        began = time.monotonic()
        Posts(stack, body, posts).wait()
        accepted = time.monotonic() - began
        wait_for("%d copies at the sink" % total,
                 lambda: sink.count - base >= total, args.patience, 0.005)
        rate = total / (time.monotonic() - began)
        print("  ours                accepted %6.0f/s  end to end %6.0f/s  "
              "CPU %5.0f us/copy" % (
                  total / accepted, rate,
                  (sum(map(cpu_seconds, pids)) - cpu) / total * 1e6),
              flush=True)
        return rate
    finally:
        stack.stop()


def run_peer(sink_port, sink, syncs, args):
    dkim = OpenDkim(PLACE + "/opendkim", "example.net")
    try:
        postfix = Postfix(PLACE + "/postfix", sink_port, syncs, dkim.port)
        try:
            base = sink.count
            cpu = cpu_seconds(postfix.pid) + cpu_seconds(dkim.pid)
            began = time.monotonic()
            source(postfix.port, args.count, 20, args.size)
            accepted = time.monotonic() - began
            wait_for("%d copies at the sink" % args.count,
                     lambda: sink.count - base >= args.count, args.patience,
                     0.005)
            rate = args.count / (time.monotonic() - began)
            cpu = cpu_seconds(postfix.pid) + cpu_seconds(dkim.pid) - cpu
            print("  Postfix + OpenDKIM  accepted %6.0f/s  end to end %6.0f/s"
                  "  CPU %5.0f us/copy" % (args.count / accepted, rate,
                                           cpu / args.count * 1e6), flush=True)
            return rate
        finally:
            postfix.stop()
    finally:
        dkim.stop()


def source(port, count, sessions, size):
    subprocess.run(["smtp-source", "-s", str(sessions), "-m", str(count),
                    "-l", str(size), "-f", "bench@example.net", "-t",
                    "r@out.test", "127.0.0.1:%d" % port], check=True)


def look_at_both(syncs, args):
    def ours(port):
        stack = start_ours(port)
        Posts(stack, post_body(stack.domain, 1, args.size), 1).wait()
        return stack.stop

    def peer(port):
        dkim = OpenDkim(PLACE + "/opendkim", "example.net")
        postfix = Postfix(PLACE + "/postfix", port, syncs, dkim.port)
        source(postfix.port, 1, 1, args.size)
        return lambda: (postfix.stop(), dkim.stop())

    for name, send in ("ours", ours), ("Postfix + OpenDKIM", peer):
        found = signature(send)
        print("  a copy of %s is signed: %s" % (name, ", ".join(found)
                                               or "NO"), flush=True)
        if "rsa-sha256" not in found:
            sys.exit("bench-dkim: %s does not sign" % name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--recipients", type=int, default=50)
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--patience", type=int, default=180)
    args = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("bench-dkim: Postfix starts as root only")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    syncs = Syncs(PLACE)
    print("rsa-2048, %d copies, each signed for its recipient (ours: %d "
          "recipients a message); %s" % (args.count, args.recipients,
                                         conditions()))
    look_at_both(syncs, args)
    sink_port = free_ports(1)[0]
    sink = Sink(sink_port)
    ours, peers = [], []
    try:
        for _ in range(args.pairs):
            ours.append(run_ours(sink_port, sink, args))
            peers.append(run_peer(sink_port, sink, syncs, args))
    finally:
        sink.stop()
    print("  end to end, ours against Postfix + OpenDKIM: %s" % ratios(ours,
                                                                     peers))


if __name__ == "__main__":
    main()
