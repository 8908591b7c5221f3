"""The way to a destination by DNS: MX by preference, A where there is none,
null MX, names that do not exist, a server that does not answer. And how the
sender speaks to the MX: under TLS where it is offered, several messages on a
connection."""

import pytest

from tests.stack.process import Process, free_ports, wait_for

RECORDS = """
--mx-host=two.test,dead.two.test,10
--mx-host=two.test,live.two.test,20
--host-record=dead.two.test,127.0.0.3
--host-record=live.two.test,127.0.0.1
--host-record=plain.test,127.0.0.1
--mx-host=nohost.test,gone.nohost.test,10
--mx-host=null.test,.,0
--mx-host=one.shared.test,live.two.test,10
--mx-host=two.shared.test,live.two.test,10
--mx-host=three.shared.test,live.two.test,20
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
    # null MX (RFC 7505): takes no mail, ever
    env.send(to="e@null.test")
    assert "5.1.10" in event(env, "e@null.test", "bounced")


def test_domains_of_one_mx_share_a_transaction(by_dns):
    """Fifty recipients of three domains behind the same MX: one MAIL FROM."""
    env = by_dns
    to = ["r%d@%s.shared.test" % (n, ("one", "two", "three")[n % 3])
          for n in range(50)]
    env.send(to="first@one.shared.test")
    env.wait_mx("first@one.shared.test")
    for at in ("first@two.shared.test", "first@three.shared.test"):
        env.send(to=at)
        env.wait_mx(at)
    sent = env.send(to=", ".join(to))
    for at in to:
        env.wait_mx(at)
    copies = [m for m in env.mx_messages() if m["message_id"] == sent]
    assert [sorted(m["to"]) for m in copies] == [sorted(to)]
    # one connection for all of them: one site
    assert len({m["peer"] for m in env.mx_messages()}) == 1


def test_tls_where_it_is_offered(own_env):
    """The sandbox MX has a certificate that nobody trusts: opportunistic is
    better than clear. Without a certificate it offers none."""
    env = own_env
    env.send(to="a@tls.test")
    assert env.wait_mx("a@tls.test")[0]["tls"] is True
    env.processes["mx"].stop()
    env.launch("mx", [
        a for a in env.processes["mx"].popen.args if a not in (
            "--certificate", env.dir + "/etc/cert.pem",
            "--key", env.dir + "/etc/key.pem")]).wait_listening(env.mx_port)
    env.send(to="b@tls.test")
    assert env.wait_mx("b@tls.test")[0]["tls"] is False


def test_connections_are_used_again(env):
    """By the other side's port, which the MX logs."""
    d = "again%d.test" % env.mx_port
    for n in range(10):
        env.send(to="%d@%s" % (n, d))
        env.wait_mx("%d@%s" % (n, d))
    peers = {m["peer"] for m in env.mx_messages() if m["to"][0].endswith(d)}
    assert len(peers) == 1
