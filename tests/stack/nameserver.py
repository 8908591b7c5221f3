"""A dnsmasq of ours, with a zone that changes.

    with Nameserver(folder) as dns:
        dns.zone(txt={"a.test": ["v=spf1 -all"]}, mx={"a.test": ["mx.a.test"]},
                 cname={"email.a.test": "track.test"})
        ... MailgunResolver 127.0.0.1:<dns.port>

What is below .test and not in the zone does not exist. Names below a domain of
servfail= are forwarded to a port where nobody is, silent= to one where nobody
answers: SERVFAIL, and silence.
"""
import socket

from .process import Process, free_ports, wait_for


class Nameserver:
    def __init__(self, folder):
        self.folder = str(folder)
        self.process = None
        self.port, self.closed = free_ports(2)
        self.deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.deaf.bind(("127.0.0.1", 0))

    def __enter__(self):
        self.zone()
        return self

    def __exit__(self, *exception):
        self.stop()
        self.deaf.close()

    def stop(self):
        if self.process:
            self.process.stop()
        self.process = None

    @staticmethod
    def text(value):
        """Strings of up to 255 octets, as in a zone file."""
        return ",".join('"%s"' % value[i:i + 255]
                        for i in range(0, len(value), 255)) or '""'

    def zone(self, txt={}, mx={}, cname={}, host={}, servfail=(), silent=()):
        """Another zone from now on: dnsmasq is started again."""
        self.stop()
        lines = ["local=/test/"]
        for name, values in txt.items():
            lines += ["txt-record=%s,%s" % (name, self.text(v))
                      for v in values]
        for name, hosts in mx.items():
            lines += ["mx-host=%s,%s,%d" % (name, h, 10 * (i + 1))
                      for i, h in enumerate(hosts)]
        for name, target in cname.items():
            # dnsmasq gives a CNAME only where it knows the target
            lines += ["cname=%s,%s" % (name, target),
                      "host-record=%s,127.0.0.1" % target]
        lines += ["host-record=%s,%s" % pair for pair in host.items()]
        lines += ["server=/%s/127.0.0.1#%d" % (d, self.closed)
                  for d in servfail]
        lines += ["server=/%s/127.0.0.1#%d" % (d, self.deaf.getsockname()[1])
                  for d in silent]
        conf = self.folder + "/dnsmasq.conf"
        with open(conf, "w") as f:
            f.write("\n".join(lines) + "\n")
        self.process = Process("dnsmasq", [
            "dnsmasq", "--keep-in-foreground", "--conf-file=" + conf,
            "--port=%d" % self.port, "--listen-address=127.0.0.1",
            "--bind-interfaces", "--no-resolv", "--no-hosts", "--pid-file=",
            "--user=", "--cache-size=0"], self.folder + "/dnsmasq.log")
        wait_for("dnsmasq", lambda: open("/proc/net/udp").read().count(
            ":%04X" % self.port))
