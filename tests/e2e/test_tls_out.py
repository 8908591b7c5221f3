"""What mail needs of TLS at the receivers: required by message or domain,
MTA-STS, DANE; which of our addresses it comes from; MXs that are ourselves.
Real TLS servers with certificates of an authority of our own, a resolver that
says what it validated."""
import json
import sqlite3
import sys

import pytest

from tests.e2e.conftest import make_env
from tests.stack.process import listens, wait_for
from tests.stack.receivers import Authority, Policies, Resolver
from tests.stack.stack import ROOT

pytestmark = pytest.mark.both

# address -> certificate: right for its name, of another name, self-signed, none
SINKS = {"127.0.0.2": "good", "127.0.0.3": "other", "127.0.0.4": "self",
         "127.0.0.5": None, "::1": "good"}
POLICY = "version: STSv1\nmode: %s\nmx: %s\nmax_age: 86400\n"


class World:
    """The stack, and receivers: domain(...) makes one."""

    def __init__(self, env):
        self.env = env
        self.count = 0
        self.dns = Resolver()
        self.ca = Authority(env.dir + "/ca")
        self.certificates = {
            "good": self.ca.issue("good", "good.mx.test", "v6.mx.test"),
            "other": self.ca.issue("other", "somebody.else.test"),
            "self": (env.dir + "/etc/cert.pem", env.dir + "/etc/key.pem")}
        self.policies = Policies(*self.ca.issue(
            "policies", *("mta-sts.d%d.test" % n for n in range(40))))
        for name, address in (("good", "127.0.0.2"), ("other", "127.0.0.3"),
                              ("self", "127.0.0.4"), ("clear", "127.0.0.5"),
                              ("clear2", "127.0.0.5")):
            for zone in ("mx.test", "signed.test"):
                self.dns.add("%s.%s" % (name, zone), "A", address)
        self.dns.add("v6.mx.test", "AAAA", "::1")
        self.dns.add("mail.mailgun.test", "A", "127.0.0.2")
        self.dns.signed.append("signed.test")
        for host, kind in SINKS.items():
            argv = [sys.executable, ROOT + "/tests/stack/mx.py", "--dir",
                    env.mx_dir, "--log", env.mx_log, "--host", host,
                    "--port", str(env.mx_port)]
            if kind:
                argv += ["--certificate", self.certificates[kind][0], "--key",
                         self.certificates[kind][1]]
            env.launch("sink " + host, argv, log="mx")
        for host in SINKS:
            wait_for("a sink on " + host,
                     lambda: listens(env.mx_port, host))
        self.configure()

    def configure(self):
        env = self.env
        path = env.dir + "/etc/mailgun.conf"
        with open(path) as f:
            lines = [line for line in f
                     if not line.startswith("MailgunTransport")]
        lines += ["MailgunResolver 127.0.0.1:%d\n" % self.dns.port,
                  "MailgunSMTPPort %d\n" % env.mx_port,
                  "MailgunTLSTrust %s\n" % self.ca.file,
                  "MailgunMTASTSPort %d\n" % self.policies.port,
                  "MailgunSendingIP a 127.0.0.9 out9.mailgun.test\n",
                  "MailgunSendingIP b 127.0.0.10\n",
                  "MailgunSendingIP b ::1\n",
                  "MailgunSendingPool both a b\n"]
        with open(path, "w") as f:
            f.writelines(lines)
        env.restart("smtpd")

    def domain(self, *mx, zone="test"):
        """A new one with these MX names, 10, 20 ..."""
        name = "d%d.%s" % (self.count, zone)
        self.count += 1
        self.dns.add(name, "MX", *("%d %s." % (10 * (i + 1), host)
                                   for i, host in enumerate(mx)))
        return name

    def sts(self, domain, mode, mx, policy_id="1"):
        self.dns.add("_mta-sts." + domain, "TXT",
                     '"v=STSv1; id=%s;"' % policy_id)
        self.dns.add("mta-sts." + domain, "A", "127.0.0.1")
        self.policies.texts[domain] = POLICY % (mode, mx)

    def events(self, to):
        """(kind, detail) of each event, oldest first."""
        sql = ("SELECT kind, detail FROM event WHERE recipient = '%s' AND "
               "kind <> 'accepted' ORDER BY id" % to)
        if self.env.pg:
            rows = [line.split("|", 1)
                    for line in self.env.pg.sql(sql).splitlines()]
        else:
            db = sqlite3.connect("file:%s/store/mailgun.db?mode=ro"
                                 % self.env.dir, uri=True)
            rows = db.execute(sql).fetchall()
            db.close()
        return [(kind, json.loads(detail)) for kind, detail in rows]

    def event(self, to):
        return self.env.wait("an event of " + to, lambda: self.events(to))[0]

    def delivered(self, to, **options):
        """Its event's detail, and the sink's line."""
        self.env.send(to=to, **options)
        kind, detail = self.event(to)
        assert kind == "delivered", detail
        return detail, self.env.wait_mx(to)[0]

    def put_off(self, to, words, **options):
        self.env.send(to=to, **options)
        kind, detail = self.event(to)
        assert kind == "failed_temp" and words in detail["reply"], detail
        assert not self.env.mx_messages(to)

    def stop(self):
        self.dns.stop()
        self.policies.stop()
        for host in SINKS:
            self.env.processes["sink " + host].stop()


@pytest.fixture(scope="module")
def world():
    env = make_env("tls-out")
    try:
        env.start()
        made = World(env)
        yield made
        made.stop()
    finally:
        env.stop()
        env.clean()
    assert not env.unannounced()


REQUIRE = {"o:require-tls": "yes"}
SKIP = {"o:require-tls": "yes", "o:skip-verification": "yes"}


def test_opportunistic(world):
    detail, line = world.delivered("a@" + world.domain("self.mx.test"))
    assert line["tls"] and detail["tls"] is True
    assert detail["tls-version"].startswith("TLSv1.")
    assert detail["certificate-verified"] is False
    assert detail["tls-policy"] == "opportunistic"
    assert detail["mx"] == "self.mx.test"
    detail, line = world.delivered("a@" + world.domain("good.mx.test"))
    assert line["tls"] and detail["certificate-verified"] is True
    detail, line = world.delivered("a@" + world.domain("clear.mx.test"))
    assert not line["tls"] and detail["tls"] is False


def test_required(world):
    good, clear = world.domain("good.mx.test"), world.domain("clear.mx.test")
    self_signed = world.domain("self.mx.test")
    detail, line = world.delivered("r@" + good, **REQUIRE)
    assert line["tls"] and detail["certificate-verified"] is True
    assert detail["tls-policy"] == "require-tls"
    # never in the clear, though others go there so
    world.delivered("before@" + clear)
    world.put_off("r@" + clear, "does not offer STARTTLS; require-tls "
                  "requires TLS", **REQUIRE)
    world.put_off("s@" + clear, "does not offer STARTTLS", **SKIP)
    world.delivered("after@" + clear)
    # not over a connection that stands and was not verified
    world.delivered("before@" + self_signed)
    world.put_off("r@" + self_signed, "4.7.5", **REQUIRE)
    detail, line = world.delivered("s@" + self_signed, **SKIP)
    assert line["tls"] and detail["certificate-verified"] is False
    world.put_off("r@" + world.domain("other.mx.test"), "hostname mismatch",
                  **REQUIRE)
    # the next MX, where the first one will not do
    detail, line = world.delivered(
        "r@" + world.domain("clear.mx.test", "good.mx.test"), **REQUIRE)
    assert line["at"] == "127.0.0.2" and detail["mx"] == "good.mx.test"


def test_required_by_domain(world):
    # one of its own: a site that failed stays closed for a while
    env, clear = world.env, world.domain("clear2.mx.test")
    env.ctl("domain", "set", env.domain, "require_tls=yes")
    try:
        world.put_off("d@" + clear, "does not offer STARTTLS")
        # a message may say otherwise
        world.delivered("no@" + clear, **{"o:require-tls": "no"})
    finally:
        env.ctl("domain", "set", env.domain, "require_tls=no")


def test_mta_sts(world):
    domain = world.domain("clear.mx.test", "good.mx.test")
    world.sts(domain, "enforce", "*.mx.test")
    detail, line = world.delivered("a@" + domain)
    assert detail["tls-policy"] == "mta-sts" and line["at"] == "127.0.0.2"
    assert detail["certificate-verified"] is True
    assert world.policies.asked.count("mta-sts." + domain) == 1

    # an MX that the policy does not name
    domain = world.domain("good.mx.test")
    world.sts(domain, "enforce", "mx.elsewhere.test")
    world.put_off("a@" + domain, "is named by its MTA-STS policy")
    # a certificate of another name; none at all
    for mx in "other.mx.test", "clear.mx.test":
        domain = world.domain(mx)
        world.sts(domain, "enforce", mx)
        world.put_off("a@" + domain, "mta-sts requires TLS")
    # tested only
    domain = world.domain("clear.mx.test")
    world.sts(domain, "testing", "mx.elsewhere.test")
    world.delivered("a@" + domain)
    # a record, and no policy to be had
    domain = world.domain("clear.mx.test")
    world.sts(domain, "enforce", "mx.elsewhere.test")
    del world.policies.texts[domain]
    world.delivered("a@" + domain)


def test_mta_sts_holds(world):
    """DNS record and web server gone, and a new start between: what was fetched
    once holds for its time."""
    domain = world.domain("clear.mx.test", "good.mx.test")
    world.sts(domain, "enforce", "good.mx.test")
    world.delivered("before@" + domain)
    del world.policies.texts[domain]
    del world.dns.zone["_mta-sts." + domain, "TXT"]
    world.env.restart("smtpd")
    detail, _ = world.delivered("after@" + domain)
    assert detail["tls-policy"] == "mta-sts"
    assert world.policies.asked.count("mta-sts." + domain) == 1


def test_dane(world):
    def tlsa(host, text):
        world.dns.zone["_%d._tcp.%s" % (world.env.mx_port, host), "TLSA"] = [
            text]

    of_self = world.ca.tlsa(world.certificates["self"][0])
    of_good = world.ca.tlsa(world.certificates["good"][0])
    # nobody trusts the certificate, but the record names its key
    tlsa("self.signed.test", of_self)
    detail, line = world.delivered(
        "a@" + world.domain("self.signed.test", zone="signed.test"))
    assert detail["tls-policy"] == "dane" and line["tls"]
    assert detail["certificate-verified"] is True
    # the record names another key
    tlsa("other.signed.test", of_good)
    domain = world.domain("other.signed.test", zone="signed.test")
    world.put_off("a@" + domain, "dane requires TLS")
    world.delivered("skip@" + domain, **{"o:skip-verification": "yes"})
    # TLS is promised, and there is none
    tlsa("clear.signed.test", of_self)
    world.put_off("a@" + world.domain("clear.signed.test",
                                      zone="signed.test"), "dane requires")
    # an MX record that was not validated: TLSA records do not count
    detail, _ = world.delivered("a@" + world.domain("other.signed.test"))
    assert detail["tls-policy"] == "opportunistic"
    # the records cannot be looked up: that must not make us forget them
    world.dns.failing.add("_%d._tcp.good.signed.test" % world.env.mx_port)
    world.put_off("a@" + world.domain("good.signed.test", zone="signed.test"),
                  "the TLSA records of good.signed.test are not known")


def test_addresses(world):
    env = world.env
    try:
        env.ctl("domain", "set", env.domain, "sending_ip=a")
        to = "ip@" + world.domain("good.mx.test")
        detail, line = world.delivered(to)
        assert line["peer"].startswith("127.0.0.9:")
        assert line["hello"] == "out9.mailgun.test"
        assert detail["sending-ip"] == "127.0.0.9"
        assert b"X-Mailgun-Sending-Ip: 127.0.0.9\r\n" in env.mx_content(line)
        # only IPv6 there, and this one has none
        world.put_off("ip@" + world.domain("v6.mx.test"), "IPv6")

        env.ctl("domain", "set", env.domain, "sending_ip=")
        env.ctl("domain", "set", env.domain, "sending_pool=both")
        seen = {}
        for _ in range(12):
            domain = world.domain("good.mx.test")
            for n in range(2):
                _, line = world.delivered("pool%d@%s" % (n, domain))
                seen.setdefault(domain, set()).add(line["peer"].split(":")[0])
        # each destination from one of them, and both are used
        assert all(len(used) == 1 for used in seen.values()), seen
        assert set.union(*seen.values()) == {"127.0.0.9", "127.0.0.10"}
    finally:
        env.ctl("domain", "set", env.domain, "sending_ip=")
        env.ctl("domain", "set", env.domain, "sending_pool=")
    # IPv6, from whatever the system takes
    detail, line = world.delivered("six@" + world.domain("v6.mx.test"))
    assert line["at"] == "::1" and detail["sending-ip"] == "::1"


def test_ourselves_among_the_mxs(world):
    # we are the last resort: the others are tried
    _, line = world.delivered(
        "a@" + world.domain("good.mx.test", "mail.mailgun.test"))
    assert line["at"] == "127.0.0.2"
    # we are preferred: it would come back
    to = "a@" + world.domain("mail.mailgun.test", "good.mx.test")
    world.env.send(to=to)
    kind, detail = world.event(to)
    assert kind == "failed" and "5.4.6" in detail["reply"], (kind, detail)
