"""What routes send on: Authentication-Results and ARC sets (RFC 8617), judged by
python3-dkim, over two hops of ours and with senders that sign."""
import base64
import email
import email.policy
import re
import smtplib
import subprocess
import time

import dkim
import pytest

from tests.e2e.conftest import make_env
from tests.stack import verifiers
from tests.stack.nameserver import Nameserver

pytestmark = pytest.mark.both
HOST = "mail.mailgun.test"


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    with Nameserver(tmp_path_factory.mktemp("dns")) as server:
        yield server


@pytest.fixture(scope="module")
def arc_stack(dns):
    env = make_env("arc", extra="MailgunResolver 127.0.0.1:%d\n" % dns.port)
    try:
        env.start()
        yield env
    finally:
        env.stop()
        env.clean()


@pytest.fixture
def env(arc_stack):
    arc_stack.unannounced()
    arc_stack.expected = []
    yield arc_stack
    found = arc_stack.unannounced()
    assert not found, "unannounced in the logs:\n" + "\n".join(found)


class Sender:
    """Somebody outside who signs."""
    def __init__(self, folder):
        key = str(folder / "key.pem")
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", key,
                        "2048"], check=True, stderr=subprocess.DEVNULL)
        public = subprocess.run(
            ["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER"],
            check=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout
        self.record = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
        with open(key, "rb") as f:
            self.key = f.read()

    def sign(self, message, domain=b"sender.test"):
        return dkim.sign(message, b"s1", domain, self.key,
                         canonicalize=(b"relaxed", b"relaxed")) + message


@pytest.fixture(scope="module")
def sender(tmp_path_factory):
    return Sender(tmp_path_factory.mktemp("key"))


def message(to):
    return ("From: Al <al@sender.test>\r\nTo: %s\r\nSubject: Hi\r\n"
            "Date: Thu, 13 Oct 2011 18:02:00 GMT\r\n"
            "Message-ID: <%s@sender.test>\r\n\r\nHello\r\n"
            % (to, time.time())).encode()


def hand_in(env, to, content, sender="al@sender.test"):
    with smtplib.SMTP("127.0.0.1", env.smtp_port, timeout=60) as s:
        s.ehlo()
        s.mail(sender)
        assert s.rcpt(to)[0] == 250
        assert s.data(content)[0] == 250


def forward(env, domain, key, to):
    r = env.api("POST", "/routes", key=key, data={
        "expression": "match_recipient('.*@%s')" % domain,
        "action": "forward('%s')" % to})
    assert r.status_code == 200, r.text


def place(env, to):
    """A domain of an account of its own that sends all on to there."""
    account, key = env.new_account()
    domain = env.new_domain(account)
    forward(env, domain, key, to)
    return domain, verifiers.records_of(
        env.api("GET", "/domains/" + domain, key=key).json())


def arrived(env, to):
    """As it came, without the sandbox's envelope lines."""
    raw = env.mx_content(env.wait_mx(to)[0])
    while raw.startswith(b"X-Envelope-"):
        raw = raw.split(b"\r\n", 1)[1]
    return raw


def records(*tables):
    return {name: text for table in tables for name, text in table.items()}


def verify(content, keys):
    """(verdict of the chain, whether the author's signature is good)"""
    def record(name, timeout=5):
        return keys.get(name.decode().rstrip("."), "").encode() or None
    cv, results, why = dkim.arc_verify(content, dnsfunc=record)
    signed = dkim.DKIM(content)
    try:
        author = b"d=sender.test" in content and signed.verify(dnsfunc=record)
    except dkim.DKIMException:
        author = False
    return (cv or b"ended").decode(), author


def results_of(content):
    """What our Authentication-Results says, unfolded."""
    found = email.message_from_bytes(content).get_all(
        "Authentication-Results") or []
    return [re.sub(r"\s+", " ", r) for r in found]


def test_a_chain_of_two_hops(env, dns, sender):
    end = "end-%s@far.out" % time.time()
    second, second_keys = place(env, end)
    first, first_keys = place(env, "x@" + second)
    keys = records(first_keys, second_keys,
                   {"s1._domainkey.sender.test": sender.record})
    # the second is found by DNS: the way from hop to hop is a real one
    dns.zone(txt={name: [text] for name, text in keys.items()})
    hand_in(env, "x@" + first, sender.sign(message("x@" + first)))
    hop, = [env.mx_content(line) for line in env.wait_mx("x@" + second)]
    while hop.startswith(b"X-Envelope-"):
        hop = hop.split(b"\r\n", 1)[1]
    assert verify(hop, keys) == ("pass", True)
    own, = results_of(hop)
    assert own.startswith("%s; dkim=pass header.d=sender.test" % HOST)
    assert own.endswith("arc=none")
    # as the world hands it to us again
    hand_in(env, "x@" + second, hop, "srs@" + first)
    content = arrived(env, end)
    assert verify(content, keys) == ("pass", True)
    fields = [f.lower() for f in email.message_from_bytes(content).keys()]
    assert fields[:3] == ["arc-seal", "arc-message-signature",
                          "arc-authentication-results"]
    assert fields.count("arc-seal") == 2
    newest = re.sub(rb"\s+", b" ", content.split(b"ARC-Message")[0])
    assert b"i=2;" in newest and b"cv=pass" in newest
    own, = results_of(content)  # the first hop's was taken out: same host
    assert "arc=pass (i=1)" in own


def test_what_was_changed_between(env, dns, sender):
    end = "end-%s@far.out" % time.time()
    second, second_keys = place(env, end)
    first, first_keys = place(env, "y@" + second)
    keys = records(first_keys, second_keys,
                   {"s1._domainkey.sender.test": sender.record})
    dns.zone(txt={name: [text] for name, text in keys.items()})
    hand_in(env, "y@" + first, sender.sign(message("y@" + first)))
    hop = arrived(env, "y@" + second)
    hand_in(env, "y@" + second, hop.replace(b"Hello", b"Jello"))
    content = arrived(env, end)
    cv, author = verify(content, keys)
    assert cv != "pass" and not author
    newest = re.sub(rb"\s+", b" ", content.split(b"ARC-Message")[0])
    assert b"i=2;" in newest and b"cv=fail" in newest
    # a chain that has ended is left alone
    third_end = "third-%s@far.out" % time.time()
    third, third_keys = place(env, third_end)
    hand_in(env, "y@" + third, content)
    assert arrived(env, third_end).count(b"ARC-Seal:") == 2


def test_unsigned_and_forged(env, dns):
    end = "end-%s@far.out" % time.time()
    domain, keys = place(env, end)
    dns.zone(txt={name: [text] for name, text in keys.items()})
    forged = ("Authentication-Results: %s; dkim=pass header.d=bank.test;\r\n"
              "\tarc=pass\r\nAuthentication-Results:\r\n %s; x=y\r\n"
              "Authentication-Results: other.test; spf=pass\r\n"
              % (HOST, HOST)).encode()
    hand_in(env, "x@" + domain, forged + message("x@" + domain))
    content = arrived(env, end)
    assert verify(content, keys)[0] == "pass"
    assert results_of(content) == [
        "other.test; spf=pass",
        "%s; dkim=none; arc=none" % HOST]
    assert re.search(rb"cv=none", content)


def test_dns_that_is_silent_holds_up_nobody(env, dns, sender):
    end = "end-%s@far.out" % time.time()
    domain, keys = place(env, end)
    dns.zone(txt={name: [text] for name, text in keys.items()},
             silent=["silent.test"])
    began = time.monotonic()
    hand_in(env, "x@" + domain, sender.sign(message("x@" + domain),
                                            b"silent.test"))
    assert 3 < time.monotonic() - began < 15
    own, = results_of(arrived(env, end))
    assert "dkim=temperror" in own
    # a client that leaves meanwhile leaves nothing behind
    s = smtplib.SMTP("127.0.0.1", env.smtp_port, timeout=60)
    s.ehlo()
    s.mail("al@sender.test")
    s.rcpt("x@" + domain)
    s.docmd("DATA")
    s.send(sender.sign(message("x@" + domain), b"mute.silent.test")
           + b".\r\n")
    time.sleep(0.3)
    s.close()
    dns.zone(txt={name: [text] for name, text in keys.items()})
    hand_in(env, "x@" + domain, message("x@" + domain))


def test_large_messages(env, dns, sender):
    end = "end-%s@far.out" % time.time()
    domain, keys = place(env, end)
    keys = records(keys, {"s1._domainkey.sender.test": sender.record})
    dns.zone(txt={name: [text] for name, text in keys.items()})
    content = message("x@" + domain) + b"0123456789" * 7 + b"\r\n" * 2
    content += (b"abcdefg \t " * 7 + b"\r\n") * 40000
    hand_in(env, "x@" + domain, sender.sign(content))
    assert verify(arrived(env, end), keys) == ("pass", True)


def test_applications_see_it(env, dns, sender):
    account, key = env.new_account()
    domain = env.new_domain(account)
    path = "/hook/arc-" + domain
    forward(env, domain, key, "http://127.0.0.1:%d%s" % (env.hook_port, path))
    dns.zone(txt={"s1._domainkey.sender.test": [sender.record]})
    hand_in(env, "x@" + domain, sender.sign(message("x@" + domain)))
    post, = env.wait_hook(lambda h: True, path)
    assert "dkim=pass" in post["fields"]["Authentication-Results"]
