"""Mail is looked at for spam: by real spamd and rspamd in all three modes of a
domain, and by filters that are slow, dead, or talk nonsense."""
import base64
import email
import email.utils
import imaplib
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import dkim
import pytest

from tests.e2e.conftest import make_env
from tests.stack import spamd
from tests.stack.nameserver import Nameserver

pytestmark = pytest.mark.both

SLOW = "spam: .* cannot be asked"


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    with Nameserver(tmp_path_factory.mktemp("dns")) as server:
        yield server


@pytest.fixture(scope="module")
def filters(tmp_path_factory, dns):
    """A front before a real spamd that asks our nameserver."""
    with spamd.Spamd(tmp_path_factory.mktemp("spamd"), dns.port) as real, \
            spamd.Front(real.port) as front:
        front.spamassassin = real.port
        yield front


@pytest.fixture(scope="module")
def spam_stack(filters):
    env = make_env("spam", extra="""\
MailgunSpamd 127.0.0.1:%d
MailgunSpamTimeout 20s
MailgunSpamConcurrency 3
MailgunSpamSizeLimit 200k
MailgunSpamFolder Junk
MailgunClientLimit 1000
""" % filters.port)
    try:
        env.start()
        yield env
    finally:
        env.stop()
        env.clean()


@pytest.fixture
def env(spam_stack, filters):
    spam_stack.unannounced()
    spam_stack.expected = []
    filters.reset()
    yield spam_stack
    spam_stack.faults.clear()
    filters.reset()
    filters.to = filters.spamassassin
    found = spam_stack.unannounced()
    assert not found, "unannounced in the logs:\n" + "\n".join(found)


class Place:
    """A domain with a mailbox."""
    def __init__(self, env, action):
        self.env, self.domain = env, env.new_domain()
        self.address = "anna@" + self.domain
        env.ctl("mailbox", "add", self.address, "owner-secret")
        if action:
            r = env.api("PUT", "/domains/" + self.domain,
                        data={"spam_action": action})
            assert r.status_code == 200, r.text

    def folder(self, name="INBOX"):
        """The messages in it; None: there is no such folder."""
        c = imaplib.IMAP4_SSL("127.0.0.1", self.env.imaps_port,
                              ssl_context=ssl._create_unverified_context())
        c.login(self.address, "owner-secret")
        try:
            if c.select(name)[0] != "OK":
                return None
            numbers = c.search(None, "ALL")[1][0].split()
            return [email.message_from_bytes(
                c.fetch(n, "(BODY.PEEK[])")[1][0][1]) for n in numbers]
        finally:
            c.logout()

    def wait(self, name="INBOX", count=1):
        return self.env.wait("%d in %s" % (count, name), lambda: (
            lambda found: found if found and len(found) == count else None)(
                self.folder(name)))[-1]


def message(body="hello", more="", subject="hi"):
    return ("From: Bob <bob@remote.test>\r\nTo: anna@here.test\r\n"
            "Subject: %s\r\nDate: %s\r\nMessage-Id: <%d@remote.test>\r\n%s\r\n"
            "%s\r\n" % (subject, email.utils.formatdate(), time.monotonic_ns(),
                        more, body))


def hand_in(env, recipients, text, sender="bob@remote.test"):
    """(code, text) of the reply to the last dot."""
    with smtplib.SMTP("127.0.0.1", env.smtp_port, timeout=60) as s:
        s.ehlo("mail.remote.test")
        assert s.mail(sender)[0] == 250
        for r in recipients if isinstance(recipients, list) else [recipients]:
            code, words = s.rcpt(r)
            assert code == 250, words
        return s.data(text)


def spam_headers(found):
    return {k: v for k, v in found.items() if k.startswith("X-Mailgun-S")
            or k.startswith("X-Mailgun-Dkim")}


def log_rows(env, place, what):
    return env.wait("log row", lambda: [
        i for i in env.api("GET", "/%s/log" % place.domain).json()["items"]
        if what in i["message"]])


# --- the three modes, GTUBE, real SpamAssassin ---

def test_disabled(env, filters):
    place = Place(env, None)
    assert hand_in(env, place.address, message(spamd.GTUBE))[0] == 250
    assert spam_headers(place.wait()) == {}
    assert filters.asked == []


def test_tag(env, filters):
    place = Place(env, "tag")
    assert hand_in(env, place.address, message())[0] == 250
    found = place.wait()
    assert found["X-Mailgun-SFlag"] == "No"
    assert float(found["X-Mailgun-SScore"]) < 5.0
    assert found["X-Mailgun-Dkim-Check-Result"] is None
    assert hand_in(env, place.address, message(spamd.GTUBE))[0] == 250
    found = place.wait("Junk")
    assert found["X-Mailgun-SFlag"] == "Yes"
    assert float(found["X-Mailgun-SScore"]) > 900
    assert "GTUBE" in found["X-Mailgun-Spam-Rules"].replace("\r\n", "")
    # at the end of the header, after what the sender wrote
    names = found.keys()
    assert names.index("X-Mailgun-SFlag") > names.index("Message-Id")
    assert len(place.folder()) == 1


def test_block(env):
    place = Place(env, "block")
    before = env.queued()
    assert hand_in(env, place.address, message(spamd.GTUBE))[0] == 250
    rows = log_rows(env, place, "Dropped as spam")
    assert place.address in rows[0]["message"]
    assert hand_in(env, place.address, message())[0] == 250
    found = place.wait()
    assert spam_headers(found) == {}
    assert place.folder("Junk") is None
    assert env.queued() == before


def test_one_check_for_several_domains(env, filters):
    tag, block, plain = (Place(env, a) for a in ("tag", "block", None))
    assert hand_in(env, [tag.address, block.address, plain.address],
                   message(spamd.GTUBE))[0] == 250
    assert tag.wait("Junk")["X-Mailgun-SFlag"] == "Yes"
    assert spam_headers(plain.wait()) == {}
    log_rows(env, block, "Dropped as spam")
    assert block.folder() == []
    assert len(filters.asked) == 1
    head, body = filters.asked[0]
    assert b"User" not in head
    assert body.startswith(b"Return-Path: <bob@remote.test>\r\nReceived: ")


def test_forged_fields(env):
    place = Place(env, "tag")
    hand_in(env, place.address, message(
        more="X-Mailgun-SFlag: Yes\r\nx-mailgun-sscore: 99\r\n"
        "X-Mailgun-Spam-Check: skipped\r\n"))
    found = place.wait()
    assert found.get_all("X-Mailgun-SFlag") == ["No"]
    assert len(found.get_all("X-Mailgun-SScore")) == 1
    assert found["X-Mailgun-Spam-Check"] is None


def test_routes_see_it(env):
    place = Place(env, "tag")
    path = "/spam-%d" % time.monotonic_ns()
    r = env.api("POST", "/routes", data={
        "expression": "match_header('X-Mailgun-SFlag', 'Yes')",
        "action": "forward('http://127.0.0.1:%d%s')" % (env.hook_port, path)})
    assert r.status_code == 200, r.text
    try:
        hand_in(env, place.address, message(spamd.GTUBE))
        hook = env.wait_hook(lambda h: True, path)
        assert hook
    finally:
        env.api("DELETE", "/routes/" + r.json()["route"]["id"])


@pytest.mark.parametrize("record, ip, word", [
    ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.7", "Pass"),
    ("v=spf1 ip4:192.0.2.0/24 -all", "198.51.100.7", "Fail"),
    ("v=spf1 ip4:192.0.2.0/24 ~all", "198.51.100.7", "SoftFail"),
    ("v=spf1 ip4:192.0.2.0/24 ?all", "198.51.100.7", "Neutral"),
    (None, "198.51.100.7", None),
])
def test_spf(env, filters, dns, record, ip, word):
    """The client's address is put in by the front: all of ours are loopback's,
    which SpamAssassin trusts."""
    dns.zone(txt={"remote.test": [record] if record else ["x"]})
    filters.client_ip = ip
    place = Place(env, "tag")
    hand_in(env, place.address, message())
    assert place.wait()["X-Mailgun-SPF"] == word


@pytest.mark.parametrize("change, word", [(b"", "Pass"), (b"x", "Fail")])
def test_dkim(env, dns, tmp_path, change, word):
    key = str(tmp_path / "key.pem")
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"],
                   check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(
        ["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER"],
        check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL).stdout
    dns.zone(txt={"s1._domainkey.remote.test": [
        "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()]})
    text = message().encode()
    with open(key, "rb") as f:
        signature = dkim.sign(text, b"s1", b"remote.test", f.read())
    place = Place(env, "tag")
    hand_in(env, place.address, signature + text + change + b"\r\n" * bool(
        change))
    assert place.wait()["X-Mailgun-Dkim-Check-Result"] == word


@pytest.mark.skipif(not spamd.installed("rspamd"), reason="no rspamd")
def test_rspamd(env, filters, tmp_path_factory):
    place = Place(env, "tag")
    with spamd.Rspamd(tmp_path_factory.mktemp("rspamd")) as real:
        filters.to = real.port
        hand_in(env, place.address, message())
        assert place.wait()["X-Mailgun-SFlag"] == "No"
        hand_in(env, place.address, message(spamd.GTUBE))
        assert float(place.wait("Junk")["X-Mailgun-SScore"]) >= 15


# --- who is never spam ---

def test_reports_pass(env, filters):
    """What the keeper reads shows spam, and is none."""
    place = Place(env, "block")
    filters.manner = spamd.says("50", "ALL_BAD")
    hand_in(env, "fbl@" + place.domain, message(spamd.GTUBE))
    assert filters.asked == []


# --- trouble ---

@pytest.mark.parametrize("manner, why", [
    ("garbage", "what answers is no spamd"),
    ("short", "spamd hung up"),
    ("closed", "spamd hung up"),
    ("endless", "spamd's answer has no end"),
    (b"SPAMD/1.0 76 EX_PROTOCOL\r\n", "spamd says 76 EX_PROTOCOL"),
])
def test_trouble(env, filters, manner, why):
    env.expect_log(SLOW)
    tag, block = Place(env, "tag"), Place(env, "block")
    filters.manner = manner
    assert hand_in(env, [tag.address, block.address], message(
        spamd.GTUBE))[0] == 250
    for place in (tag, block):
        found = place.wait()
        assert spam_headers(found) == {"X-Mailgun-Spam-Check":
                                       "skipped; " + why} or (
            manner == "closed" and "skipped; " in
            found["X-Mailgun-Spam-Check"])
    filters.manner = "pass"
    hand_in(env, tag.address, message(spamd.GTUBE))
    assert tag.wait("Junk")


def test_outage_is_one_line(env, filters):
    """After some failures in a row spamd is left alone for a while."""
    env.expect_log(SLOW)
    place = Place(env, "tag")
    filters.manner = "closed"
    before = env.log_text("smtpd").count("cannot be asked")
    for n in range(6):
        assert hand_in(env, place.address, message())[0] == 250
    found = place.wait(count=6)
    assert found["X-Mailgun-Spam-Check"] == "skipped; spamd does not answer"
    assert env.log_text("smtpd").count("cannot be asked") == before + 1
    filters.manner = "pass"
    env.faults.advance(10)
    hand_in(env, place.address, message(spamd.GTUBE))
    assert place.wait("Junk")
    assert "answers again" in env.log_text("smtpd")


def test_too_large(env, filters):
    place = Place(env, "tag")
    hand_in(env, place.address, message("x" * 70 + "\r\n" * 150000))
    assert place.wait()["X-Mailgun-Spam-Check"] == \
        "skipped; the message is too large"
    assert filters.asked == []


def test_large_is_sent_whole(env, filters):
    place = Place(env, "tag")
    text = message("\r\n".join(["line %d" % n for n in range(15000)]))
    filters.manner = spamd.says("0.1", "A_RULE")
    hand_in(env, place.address, text)
    assert place.wait()["X-Mailgun-SFlag"] == "No"
    assert filters.asked[0][1].endswith(b"line 14999\r\n")


def test_others_do_not_wait(env, filters):
    """Three checks that hang, more in line: a session that asks for none is
    served at once, and nobody is asked beyond the bound."""
    slow, quick = Place(env, "tag"), Place(env, None)
    filters.manner = "silent"
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(
        hand_in(env, slow.address, message()))) for n in range(6)]
    for t in threads:
        t.start()
    env.wait("three are asked", lambda: len(filters.asked) == 3)
    started = time.monotonic()
    assert hand_in(env, quick.address, message())[0] == 250
    assert time.monotonic() - started < 5
    quick.wait()
    assert replies == []
    env.expect_log(SLOW)
    filters.manner = "pass"
    filters.release.set()      # they get no answer: unchecked; the line moves
    for t in threads:
        t.join()
    assert [r[0] for r in replies] == [250] * 6
    slow.wait(count=6)
    assert filters.most <= 3


def test_hang_up_while_asked(env, filters):
    """Who leaves during his check gets nothing stored, and frees the place."""
    place = Place(env, "tag")
    filters.manner = "silent"
    for n in range(4):
        s = socket.create_connection(("127.0.0.1", env.smtp_port))
        f = s.makefile("rb")
        f.readline()
        for line in ("HELO x", "MAIL FROM:<bob@remote.test>",
                     "RCPT TO:<%s>" % place.address, "DATA"):
            s.sendall(line.encode() + b"\r\n")
            f.readline()
        s.sendall(message().encode() + b".\r\n")
        env.wait("it is asked", lambda: len(filters.asked) == n + 1)
        f.close()
        s.close()
    filters.manner = "pass"
    hand_in(env, place.address, message(subject="last"))
    assert place.wait()["Subject"] == "last"


def test_bdat_and_pipelining(env):
    place = Place(env, "block")
    text = message(spamd.GTUBE).encode()
    with socket.create_connection(("127.0.0.1", env.smtp_port)) as s:
        f = s.makefile("rb")
        f.readline()
        s.sendall(b"EHLO x\r\n")
        while f.readline()[3:4] == b"-":
            pass
        s.sendall(b"MAIL FROM:<bob@remote.test>\r\nRCPT TO:<%s>\r\n"
                  b"BDAT %d LAST\r\n%sMAIL FROM:<next@remote.test>\r\n"
                  b"RSET\r\n" % (place.address.encode(), len(text), text))
        assert [f.readline()[:3] for n in range(5)] == [b"250"] * 5
    log_rows(env, place, "Dropped as spam")
    assert place.folder() == []


def test_stop_while_asked(env, filters):
    """A check under way ends by its time limit; the receiver stops then."""
    place = Place(env, "tag")
    filters.manner = "silent"
    replies = []
    t = threading.Thread(target=lambda: replies.append(
        hand_in(env, place.address, message())))
    t.start()
    env.wait("it is asked", lambda: filters.asked)
    stopper = threading.Thread(target=env.restart, args=("smtpd",))
    stopper.start()
    env.expect_log(SLOW)
    filters.release.set()
    t.join()
    stopper.join()
    assert replies[0][0] == 250
    assert "skipped" in place.wait()["X-Mailgun-Spam-Check"]


def test_none_configured(own_env):
    env = own_env
    env.expect_log("there is no MailgunSpamd")
    place = Place(env, "tag")
    for n in range(2):
        assert hand_in(env, place.address, message(spamd.GTUBE))[0] == 250
    assert place.wait(count=2)["X-Mailgun-Spam-Check"] == \
        "skipped; there is no spam filter"
    assert env.log_text("smtpd").count("there is no MailgunSpamd") == 1
