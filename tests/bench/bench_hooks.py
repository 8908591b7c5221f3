#!/usr/bin/python3
"""make bench-hooks: webhooks. First what one notifier posts to one receiver that
answers at once, from a full queue; then what a customer waits for his posts
(from the answer to POST /messages on) alone, and beside another one of whom
10,000 hang. Messages are in test mode, so that nothing else is at work."""
import argparse
import base64
import http.client
import mmap
import os
import queue
import shutil
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.measure import (conditions, cpu_seconds,  # noqa: E402
                                 percentile)
from tests.stack.process import children, free_ports, title  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-hooks")


class Sink:
    """hook_sink.c."""
    def __init__(self, directory):
        program, self.path = directory + "/hook_sink", directory + "/seen"
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", program,
                        ROOT + "/tests/bench/hook_sink.c"], check=True)
        with open(self.path, "wb") as f:
            f.write(bytes(24))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 24)
        self.port = free_ports(1)[0]
        self.process = subprocess.Popen([program, str(self.port), self.path])

    def seen(self):
        count, first, last = struct.unpack("<QQQ", self.map[:24])
        return count, first / 1e6, last / 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Quick(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    came = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Quick.came.put((time.monotonic(), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Api:
    def __init__(self, stack, key):
        self.link = http.client.HTTPConnection("127.0.0.1", stack.api_port)
        self.headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": "Basic " + base64.b64encode(
                b"api:" + key.encode()).decode()}

    def send(self, domain, to):
        body = urllib.parse.urlencode(
            [("from", "me@" + domain), ("subject", "Hello"),
             ("text", "x" * 2000), ("o:testmode", "yes"), ("v:id", "7")]
            + [("to", one) for one in to])
        for attempt in range(2):
            try:
                self.link.request("POST", "/v2/%s/messages" % domain, body,
                                  self.headers)
                reply = self.link.getresponse()
                break
            except (OSError, http.client.HTTPException):
                self.link.close()  # it was kept too long
        if reply.status != 200:
            sys.exit("POST /messages: %d %s" % (reply.status, reply.read()))
        reply.read()


def customer(stack, name, url):
    stack.ctl("account", "add", name)
    key = stack.ctl("key", "add", name).split()[-1]
    domain = name + ".test"
    stack.ctl("domain", "add", domain, "--account", name, "--password",
              "secret-1")
    stack.ctl("domain", "set", domain, "webhook.deliver=" + url)
    return domain, Api(stack, key)


def fill(api, domain, count):
    for i in range(0, count, 5):
        api.send(domain, ["r%d@out.test" % k
                          for k in range(i, min(count, i + 5))])


def notifier_pid(stack):
    return [pid for pid in children(stack.processes["smtpd"].pid)
            if "notifier" in title(pid)][0]


def throughput(stack, sink, count):
    domain, api = customer(stack, "fast", "http://127.0.0.1:%d/fast"
                           % sink.port)
    fill(api, domain, count)
    stack.start_smtpd()
    while sink.seen()[0] == 0:
        time.sleep(0.01)
    before = cpu_seconds(notifier_pid(stack))
    while sink.seen()[0] < count:
        time.sleep(0.05)
    cpu = cpu_seconds(notifier_pid(stack)) - before
    n, first, last = sink.seen()
    print("%d posts to one receiver: %.0f/s, %.0f us CPU of the notifier each"
          % (n, n / (last - first), cpu / n * 1e6), flush=True)


def waits(domain, api, count, pause):
    took = []
    for i in range(count):
        time.sleep(pause)
        to = "w%d-%d@out.test" % (time.monotonic_ns(), i)
        api.send(domain, [to])
        began = time.monotonic()
        while True:
            at, body = Quick.came.get(timeout=60)
            if urllib.parse.quote(to, safe="").encode() in body:
                break
        took.append(max(at - began, 0))
    return took


def show(what, took):
    print("%-42s median %6.1f ms, p99 %6.1f ms, worst %6.1f ms" % (
        what, percentile(took, .5) * 1e3, percentile(took, .99) * 1e3,
        max(took) * 1e3), flush=True)


def beside(stack, sink, count, hanging):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quick)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    domain, api = customer(stack, "quick", "http://127.0.0.1:%d/quick"
                           % server.server_address[1])
    other, other_api = customer(stack, "hanging", "http://127.0.0.1:%d/hang"
                                % sink.port)
    show("a post after the 200, alone:", waits(domain, api, count, 0.05))
    fill(other_api, other, hanging)
    show("the same beside %d that hang:" % hanging,
         waits(domain, api, count, 0.05))
    left = stack.ctl("queue", "count", "--by", "domain")
    print(left)
    server.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--waits", type=int, default=300)
    parser.add_argument("--hanging", type=int, default=10000)
    parser.add_argument("--store", default="sqlite")
    parser.add_argument("--variant", default="release")
    args = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    stack = Stack(PLACE, variant=args.variant, store=args.store,
                  log_level="warn")
    print(conditions())
    sink = None
    try:
        stack.setup()
        stack.start_httpd()
        sink = Sink(stack.dir)
        throughput(stack, sink, args.count)
        beside(stack, sink, args.waits, args.hanging)
    finally:
        if sink:
            sink.stop()
        stack.stop()
        stack.clean()


if __name__ == "__main__":
    main()
