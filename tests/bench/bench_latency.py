#!/usr/bin/python3
"""make bench-latency: an idle system, from POST /messages to the end of data at
the remote. One message at a time, on one connection, with a pause between; the
remote is a socket in this process, so both ends are read from one clock."""
import argparse
import base64
import http.client
import os
import queue
import shutil
import socketserver
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.bench.measure import conditions, percentile  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-latency")


class Remote(socketserver.StreamRequestHandler):
    ends = queue.Queue()

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 remote.test")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"QUIT":
                return self.say("221 bye")
            if verb == b"EHLO":
                self.say("250-remote.test\r\n250 PIPELINING")
            elif verb == b"DATA":
                self.say("354 go ahead")
                for line in self.rfile:
                    if line == b".\r\n":
                        break
                self.ends.put(time.monotonic())
                self.say("250 taken")
            else:
                self.say("250 ok")
        return None


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True


def measure(stack, count, pause):
    link = http.client.HTTPConnection("127.0.0.1", stack.api_port)
    headers = {"Content-Type": "application/x-www-form-urlencoded",
               "Authorization": "Basic " + base64.b64encode(
                   b"api:" + stack.key.encode()).decode()}
    body = "from=me%%40%s&to=alex%%40out.test&subject=Hello&text=%s" % (
        stack.domain, "x" * 4000)
    answers, ends = [], []
    for _ in range(count):
        time.sleep(pause)
        began = time.monotonic()
        link.request("POST", "/v2/%s/messages" % stack.domain, body, headers)
        reply = link.getresponse()
        reply.read()
        answers.append(time.monotonic() - began)
        if reply.status != 200:
            sys.exit("POST /messages: %d" % reply.status)
        ends.append(Remote.ends.get(timeout=30) - began)
    return answers, ends


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--pause", type=float, default=0.05)
    args = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    server = Server(("127.0.0.1", 0), Remote)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack = Stack(PLACE, variant="release", extra="MailgunTransport out.test "
                  "127.0.0.1:%d\n" % server.server_address[1])
    try:
        stack.setup()
        stack.start_smtpd()
        stack.start_httpd()
        measure(stack, 20, args.pause)  # connections and caches
        answers, ends = measure(stack, args.count, args.pause)
    finally:
        stack.stop()
        server.shutdown()
        stack.clean()
    print("POST /messages on an idle system, %d messages of 4 KB; %s" % (
        args.count, conditions()))
    for what, times in ("the 200", answers), ("end of data remote", ends):
        print("  until %-19s median %5.1f ms  p90 %5.1f ms  p99 %5.1f ms" % (
            what, *(percentile(times, p) * 1000 for p in (0.5, 0.9, 0.99))))


if __name__ == "__main__":
    main()
