"""What the API can be asked for, asked by SMTP; and how a client is slowed down
or refused. The dialogue itself is in tests/smtp."""
import base64
import email
import json
import smtplib
import ssl
import time

import pytest

from tests.stack.process import wait_for


def login(env, user=None, password=None):
    context = ssl.create_default_context(cafile=env.dir + "/etc/cert.pem")
    s = smtplib.SMTP("localhost", env.submission_port,
                     local_hostname="client.test", timeout=30)
    s.starttls(context=context)
    s.login(user or env.smtp_login, password or env.smtp_password)
    return s


def send(env, to, text, **kwargs):
    """@return the Message-Id of our reply"""
    to = [to] if isinstance(to, str) else to
    with login(env, **kwargs) as s:
        s.mail("me@" + env.domain)
        for one in to:
            assert s.rcpt(one)[0] == 250
        code, words = s.data(text.replace("\n", "\r\n").encode())
    assert code == 250, words
    return words.decode().split()[-1]


def arrived(env, to):
    """The message at the MX, parsed, and as it came."""
    raw = env.mx_content(env.wait_mx(to)[0])
    return email.message_from_bytes(raw), raw


def log_lines(env, message_id):
    items = env.api("GET", "/%s/log" % env.domain).json()["items"]
    return [i for i in items if i["message_id"] == message_id]


@pytest.mark.both
def test_fields_kept_and_removed(env):
    to = "fields-smtp@remote.test"
    env.ctl("campaign", "add", env.domain, "By SMTP", "--id", "by-smtp")
    send(env, to, "From: Me <me@%s>\nTo: %s\nSubject: fields\n"
         "X-Mailgun-Tag: one\nX-Mailgun-Tag: two\nX-Mailgun-Track: no\n"
         "X-Mailgun-Campaign-Id: by-smtp\n"
         "X-Mailgun-Skip-Verification: yes\nX-Mailgun-Deliver-By: %d\n"
         "X-Mailgun-Variables: {\"a\": 1}\nX-Mailgun-Variables: {\"b\": 2}\n"
         "\ntext\n" % (env.domain, to, env.faults.now() + 1))
    mail, _ = arrived(env, to)
    assert mail.get_all("X-Mailgun-Tag") == ["one", "two"]
    assert mail["X-Mailgun-Track"] == "no"
    assert mail["X-Mailgun-Campaign-Id"] == "by-smtp"
    assert mail["X-Mailgun-Skip-Verification"] is None
    assert mail["X-Mailgun-Deliver-By"] is None
    assert [json.loads(v) for v in mail.get_all("X-Mailgun-Variables")] == [
        {"a": 1, "b": 2}]
    assert mail["Sender"] is None


def test_another_domains_from_gets_a_sender(env):
    to = "sender-smtp@remote.test"
    send(env, to, "From: Me <me@other.example>\nTo: %s\n\ntext\n" % to)
    mail, _ = arrived(env, to)
    assert mail["Sender"] == "me=other.example@" + env.domain
    assert mail["From"] == "Me <me@other.example>"
    # the envelope is ours
    assert env.mx_messages(to)[0]["from"].endswith("@" + env.domain)


@pytest.mark.both
def test_test_mode_never_connects(env):
    to = "drop-smtp@remote.test"
    sent = send(env, to, "From: me@%s\nTo: %s\nX-Mailgun-Drop-Message: yes\n"
                "Subject: test\n\ntext\n" % (env.domain, to))
    lines = wait_for("the log", lambda: log_lines(env, sent))
    assert {i["hap"] for i in lines} >= {"delivered"}
    assert "(test mode)" in " ".join(i["message"] for i in lines)
    assert not env.mx_messages(to)


def test_deliver_by(env):
    to = "later-smtp@remote.test"
    begun = time.time()
    send(env, to, "From: me@%s\nX-Mailgun-Deliver-By: %s\n\ntext\n" % (
        env.domain, email.utils.formatdate(env.faults.now() + 4)))
    taken = env.wait_mx(to)[0]
    assert begun + 2.9 < taken["time"] < begun + 15


def test_variables_that_are_no_json_stay_with_a_line_in_the_log(env):
    to = "nojson-smtp@remote.test"
    sent = send(env, to, "From: me@%s\nX-Mailgun-Variables: {oops\n\ntext\n"
                % env.domain)
    mail, _ = arrived(env, to)
    assert mail["X-Mailgun-Variables"] == "{oops"
    assert "domain %s: message %s: an X-Mailgun-Variables is no JSON" % (
        env.domain, sent) in env.log_text("smtpd")


TEMPLATE = """From: me@{domain}
To: %recipient%
Subject: Hello %recipient.first%
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

{text}
"""


def template(env, big=False):
    text = "Dear %recipient.first%, you are %recipient_email%\n"
    body = base64.encodebytes(text.encode()).decode().strip()
    mail = TEMPLATE.format(domain=env.domain, text=body)
    if not big:
        return mail
    head, body = mail.split("Content-Type", 1)
    return (head + "Content-Type: multipart/mixed; boundary=m\n\n--m\n"
            "Content-Type" + body + "--m\nContent-Type: image/png\n"
            "Content-Transfer-Encoding: base64\n\n" +
            base64.encodebytes(b"x" * 600000).decode() + "--m--\n")


def batch(how, variables, inner):
    encoded = json.dumps(variables)
    if how == "header":
        return "X-Mailgun-Recipient-Variables: %s\n%s" % (encoded, inner)
    return ("From: outer@x.test\nContent-Type: multipart/mailgun-variables; "
            "boundary=\"_b_\"\n\n--_b_\nContent-Type: application/json\n"
            "Content-Transfer-Encoding: base64\n\n%s--_b_\n"
            "Content-Type: message/rfc822\n\n%s\n--_b_--\n" % (
                base64.encodebytes(encoded.encode()).decode(), inner))


@pytest.mark.both
@pytest.mark.parametrize("how", ["header", "multipart"])
@pytest.mark.parametrize("big", [False, True], ids=["small", "spooled"])
def test_batch(env, how, big):
    name = "batch-%s-%s" % (how, "big" if big else "small")
    to = [name + "-a@remote.test", name + "-b@remote.test"]
    variables = {to[0]: {"first": "Anna"}, to[1]: {"first": "Bob"}}
    send(env, to, batch(how, variables, template(env, big)))
    for address, first in zip(to, ("Anna", "Bob")):
        mail, raw = arrived(env, address)
        assert address in mail["To"]
        assert mail["Subject"] == "Hello " + first
        part = mail.get_payload()[0] if big else mail
        text = part.get_payload(decode=True).decode()
        assert text.strip() == "Dear %s, you are %s" % (first, address)
        assert mail["X-Mailgun-Recipient-Variables"] is None
        if big:
            assert mail.get_payload()[1].get_payload(decode=True) == (
                b"x" * 600000)
        assert not [a for a in to if a != address and a.encode() in raw]


def test_names_come_from_the_header(env):
    to = "named-smtp@remote.test"
    send(env, to, "From: me@%s\nTo: \"Bob Lee\" <%s>\nSubject: x\n\n"
         "Hi %%recipient_fname%%\n" % (env.domain, to))
    mail, _ = arrived(env, to)
    assert mail.get_payload().strip() == "Hi Bob"


def test_errors_are_the_apis_words(env):
    with login(env) as s:
        s.mail("me@" + env.domain)
        s.rcpt("x@remote.test")
        code, words = s.data(b"From: me@x.test\r\n"
                             b"X-Mailgun-Deliver-By: someday\r\n\r\n")
        assert (code, words) == (
            550, b"5.6.0 someday is not an RFC-2822 compliant date")
        assert s.noop()[0] == 250


def test_restricted_from(env):
    name = env.new_domain(password="restricted-1")
    env.ctl("domain", "set", name, "restrict_from=yes")
    user = {"user": "postmaster@" + name, "password": "restricted-1"}
    to = "restricted-smtp@remote.test"
    wait_for("the setting", lambda: refused(env, user, to), 10)
    send(env, to, "From: any@%s\n\ntext\n" % name, **user)
    arrived(env, to)
    r = env.api("POST", "/%s/messages" % name, data={
        "from": "me@other.example", "to": to, "text": "x"})
    assert r.status_code == 403
    assert "From must be an address of the domain" in r.json()["message"]
    r = env.api("POST", "/%s/messages" % name, data={
        "from": "me@" + name, "to": to, "text": "x",
        "h:From": ["me@" + name, "me@other.example"]})
    assert r.status_code == 403
    for head, status in (("From: =?utf-8?q?Me=2C_us?= <me@%s>\n", 200),
                         ("From: me@%s\nFrom: me@other.example\n", 403),
                         ("From: me@%s\nSender: me@other.example\n", 403)):
        r = env.api("POST", "/%s/messages.mime" % name, data={"to": to},
                    files={"message": ("m", head % name + "\nx\n")})
        assert r.status_code == status, head
    r = env.api("POST", "/%s/messages" % name, data={
        "from": "me@" + name, "to": to, "text": "x"})
    assert r.status_code == 200


def refused(env, user, to):
    with login(env, **user) as s:
        s.mail("me@x.test")
        s.rcpt(to)
        return s.data(b"From: me@other.example\r\n\r\n") == (
            550, b"5.7.1 From must be an address of your domain")


def test_credential(env):
    login_name = "app@" + env.domain
    env.ctl("credential", "add", login_name, "app-secret")
    to = "credential-smtp@remote.test"
    send(env, to, "From: me@%s\n\ntext\n" % env.domain, user=login_name,
         password="app-secret")
    arrived(env, to)
    env.ctl("credential", "password", login_name, "app-secret-2")
    with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
        login(env, login_name, "app-secret")
    assert refusal.value.smtp_code == 535
    login(env, login_name, "app-secret-2").quit()
    env.ctl("credential", "remove", login_name)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        login(env, login_name, "app-secret-2")


@pytest.mark.stack(extra="MailgunLoginRate 2 3\nMailgunClientRate 2 3\n")
def test_rates(own_env):
    env = own_env
    for connect, to in ((lambda: login(env), "rate%d@remote.test"),
                        (lambda: smtplib.SMTP("localhost", env.smtp_port,
                                              timeout=30), env.mailbox)):
        with connect() as s:
            s.ehlo("client.test")
            for i in range(2):
                assert s.mail("x@remote.test")[0] == 250
                assert s.rcpt(to % i if "%" in to else to)[0] == 250
                assert s.data(b"Subject: x\r\n\r\n")[0] == 250
            assert s.mail("x@remote.test") == (
                451, b"4.7.1 Too many messages this hour, try again later")
            assert s.noop()[0] == 250
        # half an hour: one message more; what is leased is not to expire
        wait_for("the queue", lambda: not env.queued())
        env.faults.advance(1801)
        with connect() as s:
            s.ehlo("client.test")
            assert s.mail("x@remote.test")[0] == 250
