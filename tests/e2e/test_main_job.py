"""The main job: out by REST and SMTP, in to a mailbox, told by webhook."""
import email
import email.policy
import hashlib
import hmac
import imaplib
import poplib
import smtplib
import ssl
import subprocess

import pytest

pytestmark = pytest.mark.both


def tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def verify(api_key, token, timestamp, signature):
    """The manual's, with bytes where 2012 had str."""
    return signature == hmac.new(
        key=api_key.encode(), msg='{}{}'.format(timestamp, token).encode(),
        digestmod=hashlib.sha256).hexdigest()


def log_items(env, domain, count):
    def enough():
        items = env.api("GET", "/%s/log" % domain).json()["items"]
        return items if len(items) >= count else None
    return env.wait("%d log rows" % count, enough)


def imap(env, login=None, password=None):
    client = imaplib.IMAP4_SSL("127.0.0.1", env.imaps_port, ssl_context=tls())
    client.login(login or env.mailbox, password or env.mailbox_password)
    return client


def inbox(env, subject, login=None, password=None):
    """The message of that subject in the INBOX, waited for."""
    def look():
        client = imap(env, login, password)
        try:
            client.select("INBOX")
            found = client.search(None, 'SUBJECT', '"%s"' % subject)[1][0]
            if found:
                raw = client.fetch(found.split()[0], "(RFC822)")[1][0][1]
                return email.message_from_bytes(
                    raw, policy=email.policy.default)
        finally:
            client.logout()
    return env.wait("%s in the mailbox" % subject, look)


def test_manuals_first_sample(env):
    domain = env.new_domain()
    done = subprocess.run(
        ["curl", "-s", "-k", "--user", "api:" + env.key,
         "https://127.0.0.1:%d/v2/%s/messages" % (env.api_tls_port, domain),
         "-F", "from=Excited User <me@%s>" % domain,
         "-F", "to=Sasha Klizhentas <alex@%s.out>" % domain,
         "-F", "to=ev@%s.out" % domain, "-F", "subject=Hello",
         "-F", "text=Testing some Mailgun awesomness!"],
        stdout=subprocess.PIPE, text=True, check=True)
    assert '"message": "Queued. Thank you."' in done.stdout
    line = env.wait_mx("alex@%s.out" % domain)[0]
    got = email.message_from_bytes(env.mx_content(line),
                                   policy=email.policy.default)
    assert got["From"] == "Excited User <me@%s>" % domain
    assert "alex@%s.out" % domain in got["To"]
    assert "ev@%s.out" % domain in got["To"]
    assert got["Subject"] == "Hello"
    assert got["Message-Id"].strip("<>") == line["message_id"]
    assert got.get_content().strip() == "Testing some Mailgun awesomness!"
    assert got["X-Envelope-From"].endswith("@%s>" % domain)
    env.wait_mx("ev@%s.out" % domain)
    items = env.wait("two delivered rows", lambda: [
        i for i in env.api("GET", "/%s/log" % domain).json()["items"]
        if i["hap"] == "delivered"][1:] and env.api(
            "GET", "/%s/log" % domain).json()["items"])
    texts = [i["message"] for i in items if i["hap"] == "delivered"]
    assert ("Delivered: me@%s \u2192 Sasha Klizhentas <alex@%s.out> 'Hello'"
            % (domain, domain)) in texts
    assert all(i["message_id"] == line["message_id"] for i in items)


def test_delivered_webhook_is_signed(env):
    domain = env.new_domain()
    env.ctl("domain", "set", domain, "webhook.deliver=%s/%s" % (
        env.hook_url, domain))
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": "bob@%s.out" % domain,
        "subject": "told", "text": "x", "v:my-id": "17"})
    assert reply.status_code == 200
    post = env.wait_hook(lambda h: True, "/hook/" + domain)[0]
    f = post["fields"]
    assert f["event"] == "delivered"
    assert f["recipient"] == "bob@%s.out" % domain
    assert f["domain"] == domain
    assert f["my-id"] == "17"
    assert f["Message-Id"].strip("<>") in reply.json()["id"]
    assert ["Subject", "told"] in __import__("json").loads(
        f["message-headers"])
    assert len(f["token"]) == 50
    assert verify(env.key, f["token"], f["timestamp"], f["signature"])


def test_from_outside_to_a_mailbox(env):
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("bob@example.net", [env.mailbox],
                   "From: bob@example.net\r\nTo: %s\r\n"
                   "Subject: from outside\r\n\r\nhello\r\n" % env.mailbox)
    got = inbox(env, "from outside")
    assert got.get_content().strip() == "hello"
    client = poplib.POP3_SSL("127.0.0.1", env.pop3s_port, context=tls())
    client.user(env.mailbox)
    client.pass_(env.mailbox_password)
    assert client.stat()[0] >= 1
    client.quit()


def test_unknown_recipient_and_relaying_are_refused(env):
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo("mx.example.net")
        s.mail("bob@example.net")
        code, text = s.rcpt("nobody@" + env.domain)
        assert code == 550 and text.startswith(b"5.1.1")
        code, text = s.rcpt("someone@elsewhere.test")
        assert code == 550 and text.startswith(b"5.7.1")


@pytest.mark.parametrize("login", ["domain", "mailbox"])
@pytest.mark.parametrize("port", ["submission", "smtps", "smtp"])
def test_submission(env, login, port):
    user, password = ((env.smtp_login, env.smtp_password) if login == "domain"
                      else (env.mailbox, env.mailbox_password))
    to = "%s-%s@submitted.test" % (login, port)
    number = getattr(env, port + "_port")
    if port == "smtps":
        s = smtplib.SMTP_SSL("127.0.0.1", number, context=tls())
    else:
        s = smtplib.SMTP("127.0.0.1", number)
        assert not s.has_extn("auth")
        s.starttls(context=tls())
    s.login(user, password)
    s.sendmail("me@" + env.domain, [to], "From: me@%s\r\nTo: %s\r\nSubject: "
               "submitted\r\n\r\n.dots\r\n..more\r\n" % (env.domain, to))
    s.quit()
    got = email.message_from_bytes(env.mx_content(env.wait_mx(to)[0]),
                                   policy=email.policy.default)
    assert got.get_content().replace("\r\n", "\n") == ".dots\n..more\n"
    assert got["Message-Id"] and got["Date"]


def test_wrong_password(env):
    s = smtplib.SMTP("127.0.0.1", env.submission_port)
    s.starttls(context=tls())
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        s.login(env.mailbox, "wrong")
    assert e.value.smtp_code == 535
    s.close()


def test_route_forwards_to_an_application(env):
    domain = env.new_domain()
    env.ctl("route", "add", env.account, "--priority", "1", "--expression",
            'match_recipient("support@%s")' % domain, "--action",
            'forward("%s/%s")' % (env.hook_url, domain))
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("bob@example.net", ["support@" + domain],
                   "From: Bob <bob@example.net>\r\nTo: support@%s\r\n"
                   "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhelp\r\n"
                   % domain)
    f = env.wait_hook(lambda h: True, "/hook/" + domain)[0]["fields"]
    assert f["recipient"] == "support@" + domain
    assert f["sender"] == "bob@example.net"
    assert f["from"] == "Bob <bob@example.net>"
    assert f["subject"] == "Gr\u00fc\u00dfe"
    assert f["body-plain"].strip() == "help"
    assert verify(env.key, f["token"], f["timestamp"], f["signature"])


def test_a_bounce_is_booked(env):
    domain = env.new_domain()
    env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": "bounce-550@x.test", "text": "x"})
    item = env.wait("a bounced row", lambda: [
        i for i in env.api("GET", "/%s/log" % domain).json()["items"]
        if i["hap"] == "bounced"])[0]
    assert "550" in item["message"] and item["type"] == "error"
    assert "0" == env.ctl("queue", "list", "--domain", domain).strip()[:1] \
        or "empty" in env.ctl("queue", "list", "--domain", domain)


def test_a_deferred_message_is_retried_on_schedule(own_env):
    env = own_env
    to = "greylist-2@later.test"

    def tries():
        rows = [q.split() for q in env.queued() if to in q]
        return int(rows[0][5]) if rows else None
    env.send(to=to)
    for n in (1, 2):
        env.wait("refusal %d" % n, lambda: tries() == n)
        assert not env.mx_messages(to)
        env.faults.advance(1800)
    env.wait_mx(to)
    env.ctl("fsck")
