#!/usr/bin/python3
"""The sandbox MX: takes mail for the outside world and keeps it.

Any address is taken. A local part tells it to behave as providers do when
they do not take a message; whatever stands behind the command is ignored, so
that addresses can be told apart (bounce-550-anna, slow-10+x):

  bounce-CODE       RCPT is answered CODE (5xx) with a fitting enhanced code
  defer-CODE        RCPT is answered CODE (4xx), always
  greylist-N        RCPT is answered 451 4.7.1 the first N times, then taken
  reject-CODE       the message is answered CODE after its end of data
  slow-SECONDS      the answer to the end of data comes that much later
  wait-MILLISECONDS the same
  drop-after-data   the connection is cut after the end of data, unanswered,
                    the first time; the next attempt is taken
  drop-after-rcpt   the connection is cut at RCPT, the first time

With --connections N it takes that many at a time, and greets more with 421; with
--sessions FILE it writes a line of JSON there for each: open, refused.

What is taken goes into a Maildir, one file a message, with the envelope on top
as X-Envelope-From and X-Envelope-To. A line for each goes to --log as JSON:
time, from, to, message_id, tls, peer, hello, at, file. It is written before the
250 is said. Several may write to one log: "at" tells them apart.
"""
import argparse
import asyncio
import collections
import email.parser
import json
import os
import re
import signal
import socket
import ssl
import sys
import time

from aiosmtpd.controller import UnthreadedController  # noqa: F401
from aiosmtpd.smtp import SMTP, AuthResult  # noqa: F401

COMMAND = re.compile(
    r"^(bounce|defer|greylist|reject|slow|wait)-(\d+)|^(drop-after-(?:data|rcpt))")
ENHANCED = {"550": "5.1.1 user unknown", "552": "5.2.2 mailbox full",
            "554": "5.7.1 message refused", "553": "5.1.3 bad address",
            "421": "4.7.0 try again later", "450": "4.2.1 mailbox busy",
            "451": "4.7.1 try again later", "452": "4.2.2 mailbox full"}


def words(code):
    return "%s %s" % (code, ENHANCED.get(
        code, "%s.0.0 as you asked" % code[0]))


class Maildir:
    def __init__(self, path):
        self.path = path
        self.count = 0
        for name in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(path, name), exist_ok=True)

    def keep(self, content):
        self.count += 1
        name = "%.6f.%d_%d.%s" % (time.time(), os.getpid(), self.count, "mx")
        tmp = os.path.join(self.path, "tmp", name)
        with open(tmp, "wb") as f:
            f.write(content)
        os.rename(tmp, os.path.join(self.path, "new", name))
        return name


class Handler:
    def __init__(self, maildir, log, limit=0, sessions=None):
        self.maildir = maildir
        self.log = log
        self.limit = limit
        self.sessions = sessions
        self.seen = collections.Counter()
        self.connections = 0

    @staticmethod
    def command(address):
        m = COMMAND.match(address.split("@")[0].strip("<").lower())
        return (m.group(1) or m.group(3), m.group(2)) if m else (None, None)

    async def handle_RCPT(self, server, session, envelope, address, options):
        what, arg = self.command(address)
        if what in ("bounce", "defer"):
            return words(arg)
        if what == "greylist":
            self.seen["rcpt", address] += 1
            if self.seen["rcpt", address] <= int(arg):
                return words("451")
        if what == "drop-after-rcpt":
            self.seen["rcpt", address] += 1
            if self.seen["rcpt", address] == 1:
                server.transport.abort()
                return "421 4.3.2 gone"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            what, arg = self.command(address)
            if what == "reject":
                return words(arg)
            if what == "slow":
                await asyncio.sleep(int(arg))
            if what == "wait":
                await asyncio.sleep(int(arg) / 1000)
            if what == "drop-after-data":
                self.seen["data", address] += 1
                if self.seen["data", address] == 1:
                    server.transport.abort()
                    return "421 4.3.2 gone"
        head = "X-Envelope-From: <%s>\r\n" % (envelope.mail_from or "")
        for address in envelope.rcpt_tos:
            head += "X-Envelope-To: <%s>\r\n" % address
        content = envelope.original_content or envelope.content
        name = self.maildir.keep(head.encode("utf-8") + content)
        message = email.parser.BytesHeaderParser().parsebytes(content)
        line = {"time": time.time(), "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "message_id": str(message["Message-Id"] or "").strip(" <>"),
                "tls": session.ssl is not None,
                "peer": "%s:%d" % session.peer[:2],
                "hello": session.host_name,
                "at": server.transport.get_extra_info("sockname")[0],
                "file": name}
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        return "250 2.0.0 taken as %s" % name


class Server(SMTP):
    """One session; the banner names a provider that does not exist."""
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__ident__ = "sandbox"
        self.refused = False

    def connection_made(self, transport):
        handler = self.event_handler
        if self.transport is not None:  # the same again, under TLS
            super().connection_made(transport)
            return
        handler.connections += 1
        self.refused = 0 < handler.limit < handler.connections
        if handler.sessions:
            handler.sessions.write(json.dumps({
                "time": time.time(), "open": handler.connections,
                "refused": self.refused}) + "\n")
            handler.sessions.flush()
        if self.refused:
            self.transport = transport
            transport.write(b"421 4.7.0 too many connections\r\n")
            transport.close()
        else:
            super().connection_made(transport)

    def connection_lost(self, error):
        self.event_handler.connections -= 1
        if not self.refused:
            super().connection_lost(error)

    def data_received(self, data):
        if not self.refused:
            super().data_received(data)

    def eof_received(self):
        return None if self.refused else super().eof_received()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dir", required=True, help="the Maildir")
    parser.add_argument("--log", required=True, help="JSON lines")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=0)
    parser.add_argument("--sessions", help="JSON lines")
    parser.add_argument("--certificate", help="PEM: offer STARTTLS")
    parser.add_argument("--key")
    args = parser.parse_args()
    context = None
    if args.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.certificate, args.key)
    handler = Handler(Maildir(args.dir), open(args.log, "a"),
                      args.connections,
                      open(args.sessions, "a") if args.sessions else None)

    def session():
        return Server(handler, hostname="mx.sandbox.test", tls_context=context,
                      enable_SMTPUTF8=True, data_size_limit=60 * 1024 * 1024,
                      require_starttls=False, loop=loop)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    listener = socket.socket(socket.AF_INET6 if ":" in args.host
                             else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((args.host, args.port))
    server = loop.run_until_complete(
        loop.create_server(session, sock=listener, backlog=512))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, loop.stop)
    print("sandbox MX on %s:%d" % (args.host, args.port), flush=True)
    loop.run_forever()
    server.close()


if __name__ == "__main__":
    sys.exit(main())
