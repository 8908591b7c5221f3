"""The outside world as receivers publish it: a resolver that says which answers
it has validated, an authority with certificates, a host of MTA-STS policies.
Each is a thread of the test's process or a file; nothing is left."""
import http.server
import os
import socket
import ssl
import subprocess
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class Resolver:
    """Answers from `zone`, {(name, type): [text, ...]}; what ends in one of
    `signed` with the AD bit, to who asks for it; `failing` names with
    SERVFAIL."""

    def __init__(self):
        self.zone, self.signed, self.failing = {}, [], set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def add(self, name, kind, *texts):
        self.zone.setdefault((name, kind), []).extend(texts)

    def answer(self, query):
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        reply = dns.message.make_response(query, recursion_available=True)
        if name in self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        texts = self.zone.get((name, kind))
        if texts:
            reply.answer.append(dns.rrset.from_text(
                name + ".", 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if query.flags & dns.flags.AD and any(
                name == s or name.endswith("." + s) for s in self.signed):
            reply.flags |= dns.flags.AD
        return reply

    def serve(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            if not query:
                return
            reply = self.answer(dns.message.from_wire(query))
            self.socket.sendto(reply.to_wire(), peer)

    def stop(self):
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


class Authority:
    """Certificates signed by a key of our own, as PEM files in a folder."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path, exist_ok=True)
        self.file = path + "/ca.pem"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                     path + "/ca.key", "-out", self.file, "-days", "30",
                     "-subj", "/CN=test authority")

    @staticmethod
    def openssl(*args, stdin=None):
        return subprocess.run(("openssl",) + args, check=True, input=stdin,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE).stdout

    def issue(self, label, *names):
        """(certificate with the authority behind it, key)"""
        base = self.path + "/" + label
        with open(base + ".ext", "w") as f:
            f.write("basicConstraints=critical,CA:FALSE\nsubjectAltName=" +
                    ",".join("DNS:" + name for name in names) + "\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                     base + ".key", "-out", base + ".csr", "-subj",
                     "/CN=" + label)
        self.openssl("x509", "-req", "-in", base + ".csr", "-CA", self.file,
                     "-CAkey", self.path + "/ca.key", "-CAcreateserial",
                     "-days", "10", "-extfile", base + ".ext", "-out",
                     base + ".crt")
        with open(base + ".pem", "w") as out:
            for part in (base + ".crt", self.file):
                with open(part) as f:
                    out.write(f.read())
        return base + ".pem", base + ".key"

    @classmethod
    def tlsa(cls, certificate):
        """"3 1 1 <digest of its key>" (RFC 6698)."""
        key = cls.openssl("x509", "-in", certificate, "-noout", "-pubkey")
        der = cls.openssl("pkey", "-pubin", "-outform", "DER", stdin=key)
        digest = cls.openssl("dgst", "-sha256", "-r", stdin=der)
        return "3 1 1 " + digest.split()[0].decode()


class Policies:
    """https://mta-sts.<domain>/.well-known/mta-sts.txt for `texts`, {domain:
    policy}."""

    def __init__(self, certificate, key):
        self.texts, self.asked = {}, []
        texts, asked = self.texts, self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host = self.headers["Host"].split(":")[0]
                text = texts.get(host[len("mta-sts."):])
                asked.append(host)
                if text is None or self.path != "/.well-known/mta-sts.txt":
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket,
                                                 server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
