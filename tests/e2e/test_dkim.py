"""Signatures of outgoing mail, verified by others with the keys that the API
lists; who is not signed; rotation."""
import re
import smtplib

import pytest

from tests.stack import verifiers as dkim

RSA, ED25519 = "rsa-sha256", "ed25519-sha256"


def bare(env, line):
    """As it came, without the sandbox's envelope lines."""
    raw = env.mx_content(line)
    while raw.startswith(b"X-Envelope-"):
        raw = raw.split(b"\r\n", 1)[1]
    return raw


def records(env, domain):
    return dkim.records_of(env.api("GET", "/domains/" + domain).json())


def send(env, domain, to, key=None, **more):
    data = {"from": "Me <me@%s>" % domain, "to": to, "subject": "signed  \u00e4",
            "text": "Hello  \n\n .\n..\nworld\n\n\n"}
    data.update(more)
    r = env.api("POST", "/%s/messages" % domain, data=data)
    assert r.status_code == 200, r.text


def arrived(env, to):
    return bare(env, env.wait_mx(to)[0])


def is_good(env, domain, message):
    keys = records(env, domain)
    assert dkim.by_python(message, keys) == [True, True]
    assert dkim.by_opendkim(message, keys) == [ED25519, RSA]
    return True


@pytest.mark.both
def test_signed(env):
    d = env.new_domain()
    send(env, d, "a@%s.out" % d)
    message = arrived(env, "a@%s.out" % d)
    assert dkim.signatures(message) == [(RSA, "mg"), (ED25519, "mge")]
    assert is_good(env, d, message)
    head = message.split(b"\r\nX-Mailgun-Sid")[0].decode()
    assert "d=%s;" % d in head and "i=@%s;" % d in head
    assert "c=relaxed/relaxed" in head and " l=" not in head
    signed = re.sub(r"\s", "", re.search(r"h=([^;]+);", head).group(1))
    names = signed.split(":")
    for name in ("from", "list-unsubscribe", "list-id", "subject", "to"):
        there = len(re.findall(rb"(?mi)^%s:" % name.encode(), message))
        assert names.count(name) == there + 1
    # a field that is added, or changed, is seen
    keys = records(env, d)
    for forged in (message.replace(b"\r\nFrom:", b"\r\nFrom: x@x\r\nFrom:", 1),
                   message.replace(b"\r\nSubject:",
                                   b"\r\nList-Unsubscribe: <x:>\r\nSubject:", 1),
                   message.replace(b"world", b"w0rld")):
        assert forged != message
        assert dkim.by_python(forged, keys) == [False, False]


def test_who_is_not_signed(env):
    d = env.new_domain()
    send(env, d, "no@%s.out" % d, **{"o:dkim": "no"})
    assert dkim.signatures(arrived(env, "no@%s.out" % d)) == []
    with smtplib.SMTP("127.0.0.1", env.submission_port) as s:
        s.starttls()
        s.login("postmaster@" + d, "domain-secret")
        for to, more in (("smtp-no", "X-Mailgun-Dkim: no\r\n"),
                         ("smtp-yes", "")):
            s.sendmail("me@" + d, ["%s@%s.out" % (to, d)],
                       "From: me@%s\r\nSubject: x\r\n%s\r\ntext\r\n"
                       % (d, more))
    assert dkim.signatures(arrived(env, "smtp-no@%s.out" % d)) == []
    assert is_good(env, d, arrived(env, "smtp-yes@%s.out" % d))

    env.ctl("domain", "set", d, "dkim=no")
    send(env, d, "off@%s.out" % d)
    assert dkim.signatures(arrived(env, "off@%s.out" % d)) == []
    send(env, d, "asked@%s.out" % d, **{"o:dkim": "yes"})
    assert is_good(env, d, arrived(env, "asked@%s.out" % d))


def test_forwarded_mail_is_not_ours_to_sign(env):
    d = env.new_domain()
    env.ctl("route", "add", env.account, "--expression",
            "match_recipient('fwd@%s')" % d, "--action",
            "forward('out@%s.out')" % d)
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("x@far.test", ["fwd@" + d],
                   "From: x@far.test\r\nSubject: x\r\n\r\ntext\r\n")
    assert dkim.signatures(arrived(env, "out@%s.out" % d)) == []


def test_one_copy_one_signature(env):
    """Fifty at one destination: one transaction, one message, one signature.
    A retry of it is the same message, below the lines of the transaction."""
    def signed(copy):
        return copy[copy.index(b"DKIM-Signature:"):]
    d = env.new_domain()
    to = ["u%d@%s.out" % (i, d) for i in range(49)]
    send(env, d, to + ["greylist-1-x@%s.out" % d])
    message = arrived(env, to[0])
    assert is_good(env, d, message)
    # the MX has it before the sender has read and written down all answers
    env.wait("the greylisted to be put off", lambda: [
        line for line in env.queued() if "greylist-1-x@%s.out" % d in line
        and "in hand" not in line and "due now" not in line])
    env.faults.advance(3600)
    assert signed(arrived(env, "greylist-1-x@%s.out" % d)) == signed(message)
    assert arrived(env, to[-1]) == message


def test_large(env):
    """Signed in slices; whoever else sends goes on meanwhile."""
    d = env.new_domain()
    body = "".join("line %07d  with spaces \n" % i for i in range(500000))
    r = env.api("POST", "/%s/messages" % d, data={
        "from": "me@" + d, "to": ["big1@%s.out" % d, "big2@%s.two.out" % d],
        "subject": "large", "text": body})
    assert r.status_code == 200, r.text
    message = arrived(env, "big1@%s.out" % d)
    assert len(message) > 10000000
    assert dkim.by_python(message, records(env, d)) == [True, True]
    assert arrived(env, "big2@%s.two.out" % d) == message


@pytest.mark.both
def test_copies_of_their_own(env):
    d = env.new_domain()
    send(env, d, ["a@%s.out" % d, "b@%s.out" % d], **{
        "recipient-variables": '{"a@%s.out": {"n": 1}, "b@%s.out": {"n": 2}}'
                               % (d, d),
        "text": "Number %recipient.n%"})
    for name in "ab":
        assert is_good(env, d, arrived(env, "%s@%s.out" % (name, d)))


@pytest.mark.both
def test_rotation(own_env):
    """The new keys are listed, then they sign; the old ones stay listed for a
    week."""
    env = own_env
    d = env.new_domain()
    send(env, d, "before@%s.out" % d)
    before = arrived(env, "before@%s.out" % d)
    out = env.ctl("domain", "rotate-dkim", d)
    assert "mg2._domainkey." + d in out and "mge2._domainkey." + d in out
    assert sorted(records(env, d)) == sorted(
        "%s._domainkey.%s" % (s, d) for s in ("mg", "mge", "mg2", "mge2"))
    send(env, d, "waits@%s.out" % d)
    assert dkim.signatures(arrived(env, "waits@%s.out" % d)) == [
        (RSA, "mg"), (ED25519, "mge")]
    done = env.ctl("domain", "rotate-dkim", d, check=False)
    assert done.returncode == 1 and "--now" in done.stderr

    env.ctl("domain", "rotate-dkim", d, "--now")
    send(env, d, "after@%s.out" % d)
    after = arrived(env, "after@%s.out" % d)
    assert dkim.signatures(after) == [(RSA, "mg2"), (ED25519, "mge2")]
    assert is_good(env, d, after)
    assert is_good(env, d, before)
    shown = env.ctl("domain", "show", d)
    assert re.search(r"mg\._domainkey\S+ +unknown +retired ", shown)
    assert re.search(r"mg2\._domainkey\S+ +unknown +signs ", shown)

    env.faults.advance(6 * 86400)
    assert len(records(env, d)) == 4
    env.faults.advance(2 * 86400)
    env.wait("the old keys to go", lambda: len(records(env, d)) == 2,
             timeout=330)


@pytest.mark.stack(extra="MailgunDKIM rsa")
def test_one_algorithm(own_env):
    env = own_env
    send(env, env.domain, "a@rsa.out")
    assert dkim.signatures(arrived(env, "a@rsa.out")) == [(RSA, "mg")]
