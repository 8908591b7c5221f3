"""The way to a destination by DNS: MX by preference, A where there is none,
null MX, names that do not exist, a server that does not answer."""

import pytest

from tests.stack.process import Process, free_ports, wait_for

RECORDS = """
--mx-host=two.test,dead.two.test,10
--mx-host=two.test,live.two.test,20
--host-record=dead.two.test,127.0.0.3
--host-record=live.two.test,127.0.0.1
--host-record=plain.test,127.0.0.1
--mx-host=nohost.test,gone.nohost.test,10
--local=/test/
""".split()


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    """(port, stop) of a dnsmasq that knows a few names under .test."""
    port = free_ports(1)[0]
    log = str(tmp_path_factory.mktemp("dns") / "log")
    p = Process("dnsmasq", [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
        "--port=%d" % port, "--listen-address=127.0.0.1", "--bind-interfaces",
        "--no-resolv", "--no-hosts", "--pid-file=", "--user="] + RECORDS, log)
    wait_for("dnsmasq", lambda: open("/proc/net/udp").read().count(
        ":%04X" % port))
    yield port
    p.stop()


@pytest.fixture
def by_dns(own_env, dns):
    """The stack's smtpd, asking that server instead of a static transport."""
    env = own_env
    path = env.dir + "/etc/mailgun.conf"
    with open(path) as f:
        lines = [line for line in f
                 if not line.startswith("MailgunTransport")]
    lines += ["MailgunResolver 127.0.0.1:%d\n" % dns,
              "MailgunSMTPPort %d\n" % env.mx_port]
    with open(path, "w") as f:
        f.writelines(lines)
    env.restart("smtpd")
    return env


def event(env, to, hap):
    return env.wait("%s for %s" % (hap, to), lambda: [
        i for i in env.api("GET", "/%s/log" % env.domain).json()["items"]
        if i["hap"] == hap and to in i["message"]])[0]["message"]


def test_by_dns(by_dns):
    env = by_dns
    # the first by preference does not answer, the second does
    env.send(to="a@two.test")
    env.wait_mx("a@two.test")
    # no MX: the address itself (RFC 5321 5.1)
    env.send(to="b@plain.test")
    env.wait_mx("b@plain.test")
    # a domain that does not exist fails at once and for good
    env.send(to="c@nowhere.test")
    assert "Bounced" in event(env, "c@nowhere.test", "bounced")
    # an MX whose name does not exist: nobody to talk to
    env.send(to="d@nohost.test")
    env.wait("an answer for d@nohost.test", lambda: [
        i for i in env.api("GET", "/%s/log" % env.domain).json()["items"]
        if "d@nohost.test" in i["message"]
        and i["hap"] in ("bounced", "tempfail")])
