"""What cannot be delivered: hard and soft, the tables it leads to, reports to
who sent by SMTP, reports that come back from a real Postfix; and the
operator's queue."""
import email
import email.policy
import imaplib
import re
import shutil
import smtplib

import pytest

from tests.bench.postfix import Postfix
from tests.stack.relays import EximElsewhere

RETRY = "MailgunRetry 1h\nMailgunRetryLimit 3d\n"


def log(env, domain=None):
    return env.api("GET", "/%s/log" % (domain or env.domain),
                   params={"limit": 1000}).json()["items"]


def line_in(env, domain, hap, to):
    return env.wait("%s for %s" % (hap, to), lambda: [
        i for i in log(env, domain) if i["hap"] == hap
        and to in i["message"]])[0]


def line(env, hap, to):
    return env.wait("%s for %s" % (hap, to), lambda: [
        i for i in log(env) if i["hap"] == hap and to in i["message"]])[0]


def submit(env, to, text="Subject: by SMTP\r\n\r\nhi\r\n", options=(),
           rcpt_options=(), sender=None):
    with smtplib.SMTP("127.0.0.1", env.submission_port) as s:
        s.starttls()
        s.login(env.smtp_login, env.smtp_password)
        s.sendmail(sender or env.mailbox, to, text, options, rcpt_options)


def inbox(env, count):
    """The messages in the mailbox, once there are so many."""
    def look():
        with imaplib.IMAP4("127.0.0.1", env.imap_port) as c:
            c.login(env.mailbox, env.mailbox_password)
            c.select(readonly=True)
            n = c.search(None, "ALL")[1][0].split()
            if len(n) < count:
                return None
            return [email.message_from_bytes(
                c.fetch(i, "(RFC822)")[1][0][1],
                policy=email.policy.default) for i in n]
    if count == 0:
        return look()
    return env.wait("%d messages in the mailbox" % count, look)


def statuses(report):
    """Field blocks of a report's message/delivery-status."""
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    words, status, rest = report.iter_parts()
    assert words.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    return [dict(block) for block in status.get_payload()], rest


def test_hard_bounce_and_its_table(env):
    env.send(to="bounce-550-a@remote.test")
    assert "550 5.1.1 user unknown" in line(env, "bounced",
                                            "bounce-550-a@")["message"]
    rows = env.ctl("suppression", "list", env.domain, "bounce", "--address",
                   "BOUNCE-550-a@remote.test")
    assert "550 unknown: 550 5.1.1 user unknown" in rows
    # a refused message says nothing against its recipient
    env.send(to="reject-554-a@remote.test")
    line(env, "bounced", "reject-554-a@")
    assert "Nobody" in env.ctl("suppression", "list", env.domain, "--address",
                               "reject-554-a@remote.test")
    # accepted, and dropped
    reply = env.send(to="bounce-550-A@remote.test")
    item = line(env, "dropped", "bounce-550-A@")
    assert item["message_id"] == reply
    assert "Reason: Not delivering to previously bounced" in item["message"]
    env.ctl("suppression", "remove", env.domain, "bounce",
            "bounce-550-a@remote.test")
    env.send(to="bounce-550-a@remote.test", subject="again")
    env.wait("the second bounce", lambda: [
        i for i in log(env) if i["hap"] == "bounced"
        and "'again'" in i["message"]])


def test_unsubscribed_by_tag(env):
    env.ctl("suppression", "add", env.domain, "unsubscribe",
            "reader@remote.test", "--tag", "news")
    env.send(to="reader@remote.test", subject="plain")
    env.wait_mx("reader@remote.test")
    env.send(to="reader@remote.test", subject="tagged", **{"o:tag": "news"})
    assert "unsubscribed" in line(env, "dropped", "reader@")["message"]
    assert len(env.mx_messages("reader@remote.test")) == 1
    out = env.ctl("suppression", "list", env.domain, "unsubscribe")
    assert "tag news" in out


@pytest.mark.stack(extra=RETRY)
def test_soft_is_tried_until_it_is_dropped(own_env):
    env = own_env
    reply = env.send(to="defer-451-a@remote.test")
    line(env, "tempfail", "defer-451-a@")
    for _ in range(80):
        env.faults.advance(3700)
        if [i for i in log(env) if i["hap"] == "dropped"]:
            break
        env.wait("a try", lambda: "due now" not in env.ctl("queue", "list"))
    item = line(env, "dropped", "defer-451-a@")
    assert "451 4.7.1 try again later" in item["message"]
    assert "Nobody" in env.ctl("suppression", "list", env.domain)
    shown = env.ctl("queue", "show", reply)
    assert "maxfails" in shown or "policy" in shown
    assert "nothing wrong" in env.ctl("fsck")


@pytest.mark.both
def test_who_sent_by_smtp_is_told(own_env):
    env = own_env
    submit(env, ["bounce-550-b@remote.test"],
           options=["RET=HDRS", "ENVID=abc+3D1"],
           rcpt_options=["ORCPT=rfc822;b+2B1@remote.test"])
    report = inbox(env, 1)[0]
    assert report["Return-Path"] == "<>"
    assert env.mailbox in report["To"]
    assert report["Auto-Submitted"] == "auto-replied"
    (message, recipient), rest = statuses(report)
    assert message["Original-Envelope-Id"] == "abc=1"
    assert message["Reporting-MTA"].startswith("dns; ")
    assert recipient["Original-Recipient"] == "rfc822; b+1@remote.test"
    assert recipient["Final-Recipient"] == "rfc822; bounce-550-b@remote.test"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 user unknown"
    assert "Subject: by SMTP" in str(rest)
    # not wanted; a null sender; a success that was asked for
    submit(env, ["bounce-550-c@remote.test"], rcpt_options=["NOTIFY=NEVER"])
    line(env, "bounced", "bounce-550-c@")
    submit(env, ["fine@remote.test"], rcpt_options=["NOTIFY=SUCCESS"])
    reports = inbox(env, 2)
    assert len(reports) == 2
    (_, recipient), _ = statuses(reports[1])
    assert recipient["Action"] == "relayed"
    assert "nothing wrong" in env.ctl("fsck")


def test_incoming_mail_that_finds_no_room(own_env):
    """The receiver could not know: whoever wrote from outside is told."""
    env = own_env
    env.ctl("mailbox", "set", env.mailbox, "quota=1")
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("writer@remote.test", [env.mailbox],
                   "Subject: hi\r\n\r\nthere\r\n")
    taken = env.wait_mx("writer@remote.test")[0]
    assert taken["from"] in ("", "<>", None)
    report = email.message_from_bytes(env.mx_content(taken),
                                      policy=email.policy.default)
    (_, recipient), rest = statuses(report)
    assert recipient["Status"] == "5.2.2"
    assert "Subject: hi" in str(rest)


class Elsewhere(Postfix):
    """A Postfix that takes any mail for late.test, finds nobody there, and
    sends its report to our receiver; that for onward.test it tries at the
    sandbox MX."""

    def __init__(self, directory, back_to, mx_port):
        self.mx_port = mx_port

        class Nothing:
            @staticmethod
            def env():
                return {}
        super().__init__(directory, back_to, Nothing)

    def master_cf(self):
        with open(self.dir + "/etc/main.cf") as f:
            text = f.read()
        text = text.replace("mydestination =", "mydestination = late.test\n"
                            "local_recipient_maps =\n"
                            "alias_maps =\nalias_database =\n"
                            "smtpd_recipient_restrictions =\n"
                            "transport_maps = inline:{ { onward.test ="
                            " smtp:[127.0.0.1]:%d } }\n" % self.mx_port)
        with open(self.dir + "/etc/main.cf", "w") as f:
            f.write(text)
        super().master_cf()


@pytest.mark.both
def test_reports_of_a_real_postfix(own_env):
    env = own_env
    postfix = Elsewhere("/tmp/mailgun-test-postfix-%d" % env.smtp_port,
                        env.smtp_port, env.mx_port)
    try:
        path = env.dir + "/etc/mailgun.conf"
        with open(path) as f:
            conf = f.read()
        with open(path, "w") as f:
            for domain in ("late.test", "onward.test"):
                f.write("MailgunTransport %s 127.0.0.1:%d\n" % (
                    domain, postfix.port))
            f.write(conf)
        env.restart("smtpd")
        sent = env.send(to="no-such-user@late.test")
        line(env, "delivered", "no-such-user@late.test")
        item = line(env, "bounced", "no-such-user@late.test")
        assert item["message_id"] == sent
        assert "unknown user" in item["message"]
        rows = env.ctl("suppression", "list", env.domain, "bounce")
        assert "no-such-user@late.test" in rows and "unknown" in rows
        # what another server told it
        env.send(to="bounce-550-p@onward.test")
        env.send(to="reject-554-p@onward.test")
        assert "550 5.1.1 user unknown" in line(
            env, "bounced", "bounce-550-p@")["message"]
        assert "554" in line(env, "bounced", "reject-554-p@")["message"]
        rows = env.ctl("suppression", "list", env.domain, "bounce")
        assert "bounce-550-p@" in rows and "reject-554-p@" not in rows
        # of a shared copy each is booked, and the SMTP sender is told. Two
        # of Dovecot's processes that make a new mailbox's index at the same
        # time may wait for each other: it is made before
        assert inbox(env, 0) == []
        submit(env, ["one@late.test", "two@late.test"])
        for to in ("one@late.test", "two@late.test"):
            line(env, "bounced", to)
        found = inbox(env, 2)
        assert {statuses(r)[0][1]["Final-Recipient"] for r in found} == {
            "rfc822; one@late.test", "rfc822; two@late.test"}
        assert "nothing wrong" in env.ctl("fsck")
    finally:
        postfix.stop()
        shutil.rmtree(postfix.dir)


@pytest.fixture
def exim(env):
    reason = EximElsewhere.why_not()
    if reason:
        pytest.skip(reason)
    elsewhere = EximElsewhere("/tmp/mailgun-test-exim-late-%d" % env.smtp_port,
                              env.smtp_port, env.mx_port)
    yield elsewhere
    shutil.rmtree(elsewhere.dir)


@pytest.mark.both
def test_reports_of_a_real_exim(env, exim):
    """What it says of an address it cannot route, and of what another server
    refuses at RCPT and at the end of the content."""
    d = env.new_domain()
    cases = {
        "nobody-%s@late.test": ("bounced", "Unrouteable address", "unknown"),
        "bounce-550-%s@late.test": ("bounced", "550 5.1.1 user unknown",
                                    "unknown"),
        # a full mailbox is tried for days, and given up
        "bounce-552-%s@late.test": ("dropped", "552", None),
        "bounce-554-%s@late.test": ("bounced", "554", None),
    }
    for pattern, (hap, words, kind) in cases.items():
        to = pattern % d
        # the sandbox stands for the Exim that takes it
        taken = "x-" + to
        r = env.api("POST", "/%s/messages" % d, data={
            "from": "me@" + d, "to": taken, "subject": "hi", "text": "there"})
        assert r.status_code == 200, r.text
        copy = env.wait_mx(taken)[0]
        line_in(env, d, "delivered", taken)
        content = env.mx_content(copy).decode().replace("\r\n", "\n")
        exim.take(copy["from"], [to], content)
        item = line_in(env, d, hap, taken)
        assert words in item["message"], item
        rows = env.api("GET", "/%s/bounces/%s" % (d, taken))
        assert (rows.status_code == 200) == (kind is not None), rows.text
    assert "nothing wrong" in env.ctl("fsck")


def test_verp_addresses_that_are_not_ours(env):
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo("client.test")
        s.mail("")
        code, words = s.rcpt("bounce+00000000000000000000.1-a=b.c@"
                             + env.domain)
        assert code == 550 and words.startswith(b"5.1.1")


@pytest.mark.both
@pytest.mark.stack(extra=RETRY)
def test_the_operators_queue(own_env):
    env = own_env
    for i in range(3):
        env.send(to="defer-451-%d@one.test" % i)
    held = env.send(to="defer-451-x@two.test", subject="two")
    env.wait("four that are put off", lambda: len(
        [i for i in log(env) if i["hap"] == "tempfail"]) == 4)
    counts = env.ctl("queue", "count", "--by", "destination")
    assert re.search(r"^one\.test +3 ", counts, re.M)
    assert re.search(r"^\(together\) +4 ", counts, re.M)
    assert re.search(r"^%s +4 " % re.escape(env.domain),
                     env.ctl("queue", "count"), re.M)
    for by in ("transport", "age"):
        assert "(together)" in env.ctl("queue", "count", "--by", by)
    shown = env.ctl("queue", "show", held)
    assert "451 4.7.1 try again later" in shown and "again in" in shown

    # looks first
    dry = env.ctl("queue", "hold", "--destination", "one.test", "--dry-run")
    assert "3 deliveries would be held" in dry and "defer-451-0@" in dry
    assert " held" not in env.ctl("queue", "list")
    assert "3 deliveries held" in env.ctl("queue", "hold", "--destination",
                                          "one.test")
    assert env.ctl("queue", "list").count(" held") == 3
    # what is held is not tried, the other one is
    assert "1 delivery due now" in env.ctl("queue", "retry", "--domain",
                                           env.domain)
    env.wait("another try", lambda: len(
        [i for i in log(env) if i["hap"] == "tempfail"]) == 5)
    env.ctl("queue", "release", "--destination", "one.test")
    env.ctl("queue", "retry", "--all")
    # dropped: by message, then the rest
    assert "1 delivery dropped" in env.ctl("queue", "drop", "--message", held)
    item = line(env, "dropped", "defer-451-x@two.test")
    assert "dropped by the operator" in item["message"]
    assert "operator" in env.ctl("queue", "show", held)
    assert "deliveries dropped" in env.ctl("queue", "drop", "--transport",
                                           "smtp")
    env.wait("an empty queue", lambda: not env.queued())
    assert "nothing wrong" in env.ctl("fsck")
    refused = env.ctl("queue", "drop", check=False)
    assert "--all" in str(refused)


@pytest.mark.stack(extra="MailgunDestinationConnections 1\n")
def test_what_a_sender_has_in_hand_is_held_at_once(own_env):
    """A slow destination: twenty wait in the sender's memory."""
    env = own_env
    for i in range(20):
        env.send(to="slow-3-%d@slow.test" % i)
    env.wait("claims", lambda: "in hand" in env.ctl("queue", "list"))
    out = env.ctl("queue", "drop", "--destination", "slow.test")
    dropped = int(re.search(r"^(\d+) deliver", out, re.M).group(1))
    assert dropped >= 10
    env.wait("an end", lambda: not env.queued())
    events = log(env)
    assert len([i for i in events if i["hap"] == "dropped"]) >= dropped
    assert len([i for i in events
                if i["hap"] in ("dropped", "delivered")]) == 20
    assert "nothing wrong" in env.ctl("fsck")
