"""Runs the transcripts of this directory against a mailgun-smtpd that is up.

    run_transcripts.py [--auth] MX SUBMISSION SMTPS [FILE ...]

takes three ports on loopback. How the files are read, and what the server
must know, is in README; it must be configured as SETTINGS says. Sessions with
an auth= other than off are run with --auth only (MailgunAuthWithoutTLS on),
the others without.
"""
import base64
import glob
import os
import re
import socket
import ssl
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
SETTINGS = """\
MailgunHostname mx.a.test
MailgunMessageLimit 2097152
MailgunRecipientLimit 5
MailgunClientLimit 50
"""
TIMEOUT = 30
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


class Failed(AssertionError):
    pass


def plain(text):
    """Escapes and {x*n}."""
    out, i = b"", 0
    while i < len(text):
        run = re.compile(r"\{(.)\*(\d+)\}").match(text, i)
        if run:
            out += run.group(1).encode() * int(run.group(2))
            i = run.end()
        elif text.startswith("\\x", i):
            out += bytes([int(text[i + 2:i + 4], 16)])
            i += 4
        elif text[i] == "\\":
            out += ESCAPES[text[i + 1]]
            i += 2
        else:
            out += text[i].encode()
            i += 1
    return out


def octets(text):
    b64 = re.search(r"\{b64:(.*)\}", text)
    if not b64:
        return plain(text)
    return (plain(text[:b64.start()]) +
            base64.b64encode(plain(b64.group(1))) + plain(text[b64.end():]))


class Session:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.inbuf, self.out, self.reply = b"", b"", []

    def flush(self):
        out, self.out = self.out, b""
        try:
            self.sock.sendall(out)
        except OSError:
            pass  # the server hung up: what it said shows

    def line(self):
        while b"\n" not in self.inbuf:
            try:
                more = self.sock.recv(65536)
            except OSError as e:
                raise Failed("no reply: %s" % e)
            if not more:
                raise Failed("no reply: the server hung up")
            self.inbuf += more
        line, self.inbuf = self.inbuf.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def expect(self, want):
        self.reply = [self.line()]
        while self.reply[-1][3:4] == "-":
            self.reply.append(self.line())
        if not self.reply[-1].startswith(want):
            raise Failed("expected: %s, got: %s" % (want, self.reply))

    def has(self, text):
        return any(line[4:].startswith(text) for line in self.reply)

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.inbuf = b""
        self.sock = context.wrap_socket(self.sock)

    def closed(self):
        try:
            return self.inbuf == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def close(self):
        try:
            self.flush()
        finally:
            self.sock.close()


def step(session, kind, text):
    if kind in ("C:", "C~"):
        session.out += octets(text) + (b"\r\n" if kind == "C:" else b"")
        return
    session.flush()
    if kind == "S:":
        session.expect(text)
    elif kind in ("S+", "S!"):
        if session.has(text) != (kind == "S+"):
            raise Failed("%s %s: %s" % (kind, text, session.reply))
    elif kind == "T:":
        session.start_tls()
    elif kind == "X:":
        if not session.closed():
            raise Failed("the server did not hang up")
    elif kind != "F:":
        raise Failed("what is this line?")


def sessions(path):
    """[(options, [(line number, kind, text)])] of a file."""
    found = []
    with open(path) as f:
        for no, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("="):
                found.append((line, []))
            elif line and not line.startswith("#"):
                found[-1][1].append((no, line[:2], line[3:]))
    return found


def run(path, ports, with_auth):
    """@return how many sessions were run"""
    count = 0
    for options, lines in sessions(path):
        words = dict(w.split("=", 1) for w in options.split()
                     if re.match(r"\w+=", w))
        if (words.get("auth", "off") != "off") != with_auth:
            continue
        if "unit" in words:
            continue
        count += 1
        session = Session(ports[words.get("port", "mx")])
        try:
            for no, kind, text in lines:
                try:
                    step(session, kind, text)
                except Failed as e:
                    raise Failed("%s:%d: %s" % (os.path.basename(path), no, e))
        finally:
            session.close()
    return count


def files():
    return sorted(glob.glob(HERE + "/*.txt"))


def main(argv):
    with_auth = argv[:1] == ["--auth"]
    argv = argv[with_auth:]
    ports = dict(zip(("mx", "submission", "smtps"), map(int, argv[:3])))
    passed = failed = 0
    for path in argv[3:] or files():
        try:
            passed += run(path, ports, with_auth)
        except Failed as e:
            failed += 1
            print(e)
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
