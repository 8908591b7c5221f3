#!/usr/bin/python3
"""A receiver of webhooks and forwards: writes down each POST, answers 200.

One JSON line for each POST: path, headers, fields, files, failed (by /flaky).
fields maps a name to
its value, or to the list of its values where it came several times; files is a
list of {name, filename, content_type, size, sha256, text}. The path may ask
for another behaviour:

  /status/CODE...   answer CODE
  /hang...          never answer (60 s)
  /slow/SECONDS...  answer that much later
  /redirect/URL...  answer 302 to URL
  /flaky...         answer 500 to every third
"""
import argparse
import email.parser
import email.policy
import hashlib
import json
import re
import signal
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def parse_multipart(content_type, body):
    """Parts byte for byte (email's parser would parse message/rfc822)."""
    def header(text):
        return email.parser.BytesParser(
            policy=email.policy.HTTP).parsebytes(text, headersonly=True)

    boundary = header(("Content-Type: %s\r\n\r\n" % content_type).encode(
        "latin-1")).get_boundary().encode()
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, data = part[2:].split(b"\r\n\r\n", 1)
        message = header(head + b"\r\n\r\n")
        yield (message.get_param("name", header="content-disposition"),
               message.get_filename(), message.get_content_type(), data)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.body()
        if body is None:      # who posted it died meanwhile: it was no post
            self.close_connection = True
            return
        kind = self.headers.get("Content-Type", "")
        fields, files = {}, []

        def add(name, value):
            if name not in fields:
                fields[name] = value
            elif isinstance(fields[name], list):
                fields[name].append(value)
            else:
                fields[name] = [fields[name], value]

        if kind.startswith("multipart/"):
            for name, filename, part_type, data in parse_multipart(kind, body):
                if filename is None:
                    add(name, data.decode("utf-8", "replace"))
                    continue
                files.append({
                    "name": name, "filename": filename,
                    "content_type": part_type, "size": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "text": data[:2000].decode("utf-8", "replace")})
        else:
            for name, value in urllib.parse.parse_qsl(
                    body.decode("utf-8", "replace"), keep_blank_values=True):
                add(name, value)
        with self.server.lock:
            self.server.posts += 1
            self.fails = self.path.startswith("/flaky") \
                and self.server.posts % 3 == 0
            self.server.log.write(json.dumps({
                "time": time.time(), "path": self.path,
                "failed": self.fails,
                "headers": dict(self.headers.items()),
                "fields": fields, "files": files}) + "\n")
            self.server.log.flush()
        self.answer()

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return data
        size = int(self.headers.get("Content-Length", 0))
        data = self.rfile.read(size)
        return data if len(data) == size else None

    def answer(self):
        code, location = 500 if self.fails else 200, None
        m = re.match(r"/(status|slow|redirect|hang)/?([^/?]*)(.*)", self.path)
        if m and m.group(1) == "status":
            code = int(m.group(2))
        elif m and m.group(1) == "slow":
            time.sleep(float(m.group(2)))
        elif m and m.group(1) == "hang":
            time.sleep(60)
        elif m:
            code = 302
            location = urllib.parse.unquote(m.group(2) + m.group(3))
        self.send_response(code)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    args = parser.parse_args()
    server = Server((args.host, args.port), Receiver)
    server.log = open(args.log, "a")
    server.lock = threading.Lock()
    server.posts = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(
            target=server.shutdown, daemon=True).start())
    print("hook receiver on %s:%d" % (args.host, args.port), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
