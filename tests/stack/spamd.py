"""Spam filters: SpamAssassin's spamd and rspamd without network, and what stands
in front of them and plays every kind of trouble.

    with Spamd(folder) as spamd, Front(spamd.port) as front:
        ... MailgunSpamd 127.0.0.1:<front.port>
        front.manner = "silent"
"""
import os
import pwd
import re
import shutil
import socket
import socketserver
import threading

from .process import Process, free_ports

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def user_for(folder):
    """Neither of them likes to be root."""
    if os.getuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    path = folder
    while path != "/":
        os.chmod(path, os.stat(path).st_mode | 0o011)
        path = os.path.dirname(path)
    return "nobody"


class Server:
    process = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process:
            self.process.stop()


class Spamd(Server):
    """SpamAssassin without Bayes, block lists and other people's servers. With a
    nameserver (its port) it asks that for SPF and DKIM records."""

    def __init__(self, folder, nameserver=None, children=2):
        self.folder = str(folder)
        self.port = free_ports(1)[0]
        etc = self.folder + "/spamassassin"
        shutil.copytree("/etc/spamassassin", etc,
                        ignore=lambda d, names: [n for n in names
                                                 if not n.endswith(".pre")])
        lines = ["required_score 5.0", "use_bayes 0", "skip_rbl_checks 1",
                 "skip_uribl_checks 1", "use_auto_whitelist 0",
                 "envelope_sender_header Return-Path"]
        lines += ["dns_available yes", "dns_server 127.0.0.1:%d" % nameserver] \
            if nameserver else ["dns_available no"]
        with open(etc + "/local.cf", "w") as f:
            f.write("\n".join(lines) + "\n")
        argv = ["spamd", "--nouser-config", "--max-children=%d" % children,
                "--min-children=%d" % children, "--listen-ip=127.0.0.1",
                "--port=%d" % self.port, "--siteconfigpath=" + etc,
                "--helper-home-dir=" + self.folder, "--syslog=stderr",
                "--pidfile=%s/spamd.pid" % self.folder]
        if not nameserver:
            argv.append("--local")
        user = user_for(self.folder)
        if user:
            argv.append("--username=" + user)
        self.process = Process("spamd", argv, self.folder + "/spamd.log")
        self.process.wait_listening(self.port)


class Rspamd(Server):
    """Its normal worker speaks SPAMC."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.port = free_ports(1)[0]
        os.mkdir(self.folder + "/modules")   # none: they want the network
        user = user_for(self.folder)
        with open(self.folder + "/rspamd.conf", "w") as f:
            f.write("""
options {
  pidfile = "%(folder)s/rspamd.pid"; rrd = "";
  dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }
  hs_cache_dir = "%(folder)s";
  filters = "chartable,dkim,regexp";
}
logging { type = "console"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:%(port)d"; count = 1; }
actions { reject = 15; add_header = 6; greylist = 4; }
modules { path = "%(folder)s/modules"; }
""" % {"folder": self.folder, "port": self.port})
        argv = ["rspamd", "-f", "-c", self.folder + "/rspamd.conf"]
        argv += ["-u", user, "-g", "nogroup"] if user else []
        self.process = Process("rspamd", argv, self.folder + "/rspamd.log")
        self.process.wait_listening(self.port)


class Front(socketserver.ThreadingTCPServer):
    """What the receivers ask. It passes all on to a real filter, and counts; or
    its manner is silent, garbage, short, closed, endless or says(b"...")."""
    allow_reuse_address = daemon_threads = True
    request_queue_size = 100

    def __init__(self, to=None):
        self.to, self.manner, self.client_ip = to, "pass", None
        self.asked, self.open, self.most = [], 0, 0
        self.lock, self.release = threading.Lock(), threading.Event()
        super().__init__(("127.0.0.1", 0), FrontHandler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exception):
        self.release.set()
        self.shutdown()
        self.server_close()

    def reset(self):
        self.release.set()
        self.release = threading.Event()
        self.manner, self.client_ip = "pass", None
        with self.lock:
            self.asked, self.most = [], 0


class FrontHandler(socketserver.StreamRequestHandler):
    def handle(self):
        front = self.server
        with front.lock:
            front.open += 1
            front.most = max(front.most, front.open)
        try:
            self.answer(front)
        except OSError:
            pass                      # it hung up, as it may
        finally:
            with front.lock:
                front.open -= 1

    def answer(self, front):
        if front.manner == "closed":
            return
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        length = int(re.search(rb"Content-length: (\d+)", head).group(1))
        body = self.rfile.read(length)
        with front.lock:
            front.asked.append((head, body))
        if front.manner == "silent":
            front.release.wait(30)
        elif front.manner == "garbage":
            self.wfile.write(b"\x00\xff\r\n220 hello\r\n" * 10)
        elif front.manner == "short":
            self.wfile.write(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 900\r\n"
                             b"Spam: True ; 9.0 / 5.0\r\n\r\nA,B")
        elif front.manner == "endless":
            while True:
                self.wfile.write(b"a" * 65536)
        elif isinstance(front.manner, bytes):
            self.wfile.write(front.manner)
        else:
            self.wfile.write(self.ask_real(front, body))

    @staticmethod
    def ask_real(front, body):
        if front.client_ip:           # as if the client were elsewhere
            body = body.replace(b"[127.0.0.1]",
                                b"[%s]" % front.client_ip.encode())
        s = socket.create_connection(("127.0.0.1", front.to), timeout=30)
        with s:
            s.sendall(b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n"
                      % len(body) + body)
            said = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return said
                said += piece


def installed(program):
    return shutil.which(program) is not None


def says(score, *rules):
    body = ",".join(rules).encode()
    return (b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: %s ; %s / 5.0"
            b"\r\n\r\n" % (len(body), b"True" if float(score) >= 5 else
                           b"False", score.encode()) + body)
