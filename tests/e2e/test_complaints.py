"""Reports of spam come back over SMTP: to the feedback address in the dialects
of providers, to the envelope sender; what they book, and what forged ones do
not."""
import re
import smtplib

import pytest

ARF = """\
From: abuse@provider.test
To: fbl@{domain}
Subject: FW: hi
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

{fields}

--b
Content-Type: {type}

{header}

{body}
--b--
"""
JMRP = """\
From: staff@provider.test
To: fbl@{domain}
Subject: complaint about message from 127.0.0.1
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: message/rfc822

{header}

{body}
--b--
"""


def log(env, d, hap):
    return [i for i in env.api("GET", "/%s/log" % d, params={
        "limit": 1000}).json()["items"] if i["hap"] == hap]


def send(env, d, to, **fields):
    data = {"from": "me@" + d, "to": to, "subject": "hi", "text": "there"}
    data.update(fields)
    r = env.api("POST", "/%s/messages" % d, data=data)
    assert r.status_code == 200, r.text
    return r.json()["id"].strip("<>")


def copy_of(env, to):
    """(envelope sender, header, body) of the copy that the sandbox MX got."""
    taken = env.wait_mx(to)[-1]
    head, body = env.mx_content(taken).decode().replace("\r\n", "\n").split(
        "\n\n", 1)
    # what the sandbox itself put on top
    head = "\n".join(re.findall(r"^(?!X-Envelope-).*$", head, re.M))
    return taken["from"], head, body


def mail(env, to, text, sender=""):
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail(sender, [to], text.replace("\n", "\r\n").encode())


def complained(env, d, address):
    def look():
        r = env.api("GET", "/%s/complaints/%s" % (d, address))
        return r.json()["complaint"] if r.status_code == 200 else None
    return env.wait("a complaint of " + address, look)


def dropped(env, d, address):
    return env.wait("a drop", lambda: [
        i for i in log(env, d, "dropped") if address in i["message"]])[0]


@pytest.mark.both
def test_at_the_feedback_address(env):
    """Each way to say it, with all addresses redacted."""
    d = env.new_domain()
    plain = dict(domain=d, fields="Feedback-Type: abuse\nUser-Agent: t/1\n"
                 "Version: 1", type="message/rfc822", body="x")

    def redacted(head, to):
        head = head.replace(to, "redacted@redacted.invalid")
        return re.sub("(?im)^X-Mailgun-Sid:.*\n", "", head)
    who = ["%s-%s@remote.test" % (n, d) for n in ("a", "b", "c", "e")]
    for to in who:
        send(env, d, to, **{"o:tag": "news", "v:my": "data"})
    sender, head, body = copy_of(env, who[0])
    assert re.search("^X-Mailgun-Report-Id: [0-9a-f]{20}\\.[0-9a-f]+$", head,
                     re.M)
    mail(env, "fbl@" + d, ARF.format(**dict(
        plain, header=redacted(head, who[0]))))
    sender, head, body = copy_of(env, who[1])
    mail(env, "FBL@" + d, ARF.format(**dict(
        plain, fields=plain["fields"] + "\nOriginal-Mail-From: <%s>" % sender,
        type="text/rfc822-headers", header="Subject: hi", body="")))
    sender, head, body = copy_of(env, who[2])
    mail(env, "fbl@" + d, JMRP.format(
        domain=d, header=redacted(head, who[2]), body=body))
    sender, head, body = copy_of(env, who[3])
    mail(env, sender, ARF.format(**dict(plain, header="Subject: hi")))
    for to in who:
        row = complained(env, d, to)
        assert (row["address"], row["count"]) == (to, 1)
    lines = log(env, d, "complained")
    assert len(lines) == 4 and lines[0]["type"] == "warn"
    # again: nothing new
    mail(env, sender, ARF.format(**dict(plain, header="Subject: hi")))
    # further mail is dropped
    send(env, d, who[0])
    assert "marked your messages as spam" in dropped(env, d, who[0])["message"]
    assert len(log(env, d, "complained")) == 4
    env.api("DELETE", "/%s/complaints/%s" % (d, who[0]))
    send(env, d, who[0], subject="again")
    env.wait("mail that flows", lambda: [
        i for i in log(env, d, "delivered") if "again" in i["message"]])


def test_forged_reports(env):
    """Nobody complains for others; a line in the log, no row."""
    d, to = env.new_domain(), "victim@remote.test"
    sent = send(env, d, to)
    sender, head, _ = copy_of(env, to)
    fields = "Feedback-Type: abuse\nOriginal-Rcpt-To: " + to
    mark = len(env.log_text("smtpd"))
    forged = "bounce+" + ("0" if sender[7] != "0" else "1") + sender[8:]
    for header in ("Message-Id: <%s>\nFrom: me@%s" % (sent, d),
                   "Return-Path: <%s>" % forged):
        mail(env, "fbl@" + d, ARF.format(
            domain=d, fields=fields, type="message/rfc822", header=header,
            body=head))
    env.wait("two lines", lambda: env.log_text("smtpd")[mark:].count(
        "a report of spam that proves nothing of type abuse") == 2)
    assert env.api("GET", "/%s/complaints" % d).json()["total_count"] == 0
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo("client.test")
        s.mail("")
        assert s.rcpt(forged)[0] == 550


def test_what_is_no_report_goes_to_a_person(env):
    """Providers ask there whether the address is right."""
    d = env.new_domain()
    mail(env, "fbl@" + d, "From: fbl@provider.test\nSubject: please confirm\n"
         "\nclick here\n")
    env.wait("mail in a mailbox", lambda: [
        i for i in log(env, d, "delivered") + log(env, d, "mailbox")
        if "postmaster@" + d in i["message"] or "fbl@" + d in i["message"]])
    assert env.api("GET", "/%s/complaints" % d).json()["total_count"] == 0


@pytest.mark.both
def test_unsubscribe_by_mail(env):
    """The token decides: any mail, from anybody, to that address."""
    d = env.new_domain()
    to, other = "Reader-%s@remote.test" % d, "next-%s@remote.test" % d
    for one in (to, other):
        send(env, d, one, **{
            "h:X-Leave": "<mailto:%unsubscribe_email%>", "o:tag": "news",
            "text": "write to %unsubscribe_email%"})
    _, head, _ = copy_of(env, other)
    others = re.search(r"^X-Leave: <mailto:(.*?)>", head, re.M).group(1)
    _, head, body = copy_of(env, to)
    address = re.search(r"^X-Leave: <mailto:(.*?)>", head, re.M).group(1)
    local, domain = address.split("@")
    assert domain == d and len(local) == 54 and local.startswith("u+")
    assert "write to " + address in body
    # a null sender, nothing in it, shouted
    mail(env, local.upper() + "@" + d, "\n")
    env.wait("a row", lambda: env.api(
        "GET", "/%s/unsubscribes/%s" % (d, to)).status_code == 200)
    rows = env.api("GET", "/%s/unsubscribes" % d).json()
    assert [(i["address"], i["tag"]) for i in rows["items"]] == [(to, "*")]
    assert len(log(env, d, "unsubscribed")) == 1
    # and it is over; who did not ask gets mail
    send(env, d, [to, other], subject="later")
    assert "unsubscribed address" in dropped(env, d, to)["message"]
    env.wait("mail for the other", lambda: [
        i for i in log(env, d, "delivered") if "later" in i["message"]
        and other in i["message"]])
    # a mailbox or a route never sees it; a forged one is refused
    assert not [i for i in log(env, d, "mailbox") + log(env, d, "routed")
                if "u+" in i["message"]]
    forged = local[:-1] + ("a" if local[-1] != "a" else "b")
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo("client.test")
        s.mail("")
        for wrong in (forged, "u+" + "a" * 52):
            assert s.rcpt("%s@%s" % (wrong, d))[0] == 550
        assert s.rcpt("%s@%s" % (local, env.domain))[0] == 550
        s.quit()
    # a customer of ours who unsubscribes from a mailbox here, by submission
    with smtplib.SMTP("127.0.0.1", env.submission_port) as s:
        s.starttls()
        s.login(env.smtp_login, env.smtp_password)
        s.sendmail(env.mailbox, [others], "Subject: unsubscribe\r\n\r\n")
    env.wait("the other's row", lambda: env.api(
        "GET", "/%s/unsubscribes/%s" % (d, other)).status_code == 200)
