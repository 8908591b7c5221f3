"""The full round, with real parts. A message with two links goes out to people
who do what people do: one opens it, follows both links and unsubscribes by one
click, one's host reports later that there is nobody, one calls it spam, one does
not exist, one has a mailbox with us. Log, statistics, campaign, suppressions,
events and webhooks say the same of it in the end, and what happened; also if the
processes die one after the other, by SIGKILL, between all that."""
import collections
import email
import email.policy
import json
import os
import re
import signal
import smtplib
import ssl
import time

import pytest
import requests

from tests.stack import verifiers
from tests.stack.process import children, title, wait_for

EXTRA = ("MailgunTrackingForce on\nMailgunRetry 2s 2s 2s 2s 2s 2s 5s\n"
         "MailgunClientLimit 1000\n")

pytestmark = [pytest.mark.both, pytest.mark.stack(extra=EXTRA)]

LINKS = ["https://shop.test/a?x=1&y=%20z", "http://shop.test/b#part"]
HTML = ("<html><body><p>Hello, see <a href=\"%s\">one</a> and <a href='%s'>two"
        "</a>.</p></body></html>" % (LINKS[0].replace("&", "&amp;"), LINKS[1]))
TAG, SLUG = "Spring news", "spring_news"
CHROME = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML,"
          " like Gecko) Chrome/120.0.0.0 Safari/537.36")

DSN = """\
From: MAILER-DAEMON@late.test
To: {to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

There is nobody.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; late.test

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 nobody here

--b
Content-Type: message/rfc822

{copy}
--b--
"""

ARF = """\
From: abuse@provider.test
To: {to}
Subject: FW: Hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: provider/1
Version: 1

--b
Content-Type: message/rfc822

{copy}
--b--
"""

IDS = ["bounce", "click", "deliver", "drop", "open", "spam", "unsubscribe"]


class Killer:
    """Kills one process, or the master, each time that it is called."""
    def __init__(self, env, role):
        self.env, self.role, self.kills = env, role, 0

    def find(self):
        smtpd = self.env.processes["smtpd"].pid
        if self.role == "httpd":
            return children(self.env.processes["httpd"].pid)
        return [pid for pid in children(smtpd)
                if ": " + self.role in title(pid)]

    def __call__(self):
        if not self.role:
            return
        self.kills += 1
        if self.role == "master":
            process = self.env.processes["smtpd"]
            os.kill(process.pid, signal.SIGKILL)
            process.popen.wait()
            self.env.start_smtpd()
            return
        for pid in wait_for(self.role, self.find):
            os.kill(pid, signal.SIGKILL)


class Round:
    def __init__(self, env, role, by_smtp, hooks_base=None):
        self.env, self.role, self.by_smtp = env, role, by_smtp
        self.kill = Killer(env, role)
        self.domain = d = env.new_domain()
        self.hooks_at = "/hook/" + d
        self.box = "box@" + d
        self.reader, self.late, self.angry = (
            "%s.%s@people.test" % (who, d) for who in ("reader", "late",
                                                       "angry"))
        self.nobody = "bounce-550-%s@people.test" % d
        self.people = [self.reader, self.late, self.angry, self.nobody,
                       self.box]
        env.ctl("domain", "set", d, "track_opens=yes", "track_clicks=yes",
                "unsubscribe=yes", *["webhook.%s=%s%s/%s" % (
                    i, hooks_base or env.hook_url.rsplit("/", 1)[0],
                    self.hooks_at, i)
                    for i in IDS])
        env.ctl("mailbox", "add", self.box, "box-secret-1")
        env.ctl("campaign", "add", d, "Spring", "--id", "spring")

    def api(self, what, **params):
        """Until there is an answer: the process that has it may be killed."""
        def ask():
            try:
                with requests.Session() as http:
                    http.trust_env = False
                    return http.get("%s/%s/%s" % (
                        self.env.api_url, self.domain, what), params=params,
                        auth=("api", self.env.key), timeout=20)
            except requests.RequestException:
                return None
        reply = wait_for("an answer", ask)
        assert reply.status_code == 200, reply.text
        return reply.json()

    # --- what people do ---

    def send(self, subject="Hello"):
        if self.by_smtp:
            return self.submit(subject)
        reply = requests.post(
            "%s/%s/messages" % (self.env.api_url, self.domain),
            auth=("api", self.env.key), timeout=60, data={
                "from": "Me <me@%s>" % self.domain, "to": self.people,
                "subject": subject, "html": HTML, "text": "see " + LINKS[1],
                "o:tag": TAG, "o:campaign": "spring", "v:order": "7",
                "recipient-variables": "{}"})
        assert reply.status_code == 200, reply.text
        return reply.json()["id"]

    def submit(self, subject):
        m = email.message.EmailMessage()
        m["From"] = "Me <me@%s>" % self.domain
        m["Subject"] = subject
        m["Message-Id"] = "<%d@%s>" % (time.monotonic_ns(), self.domain)
        m["X-Mailgun-Tag"] = TAG
        m["X-Mailgun-Campaign-Id"] = "spring"
        m["X-Mailgun-Variables"] = '{"order": "7"}'
        m.set_content("see " + LINKS[1] + "\n")
        m.add_alternative(HTML, subtype="html")

        def hand_in():
            try:
                with smtplib.SMTP("127.0.0.1", self.env.submission_port,
                                  timeout=30) as s:
                    s.starttls(context=ssl._create_unverified_context())
                    s.login("postmaster@" + self.domain, "domain-secret")
                    s.send_message(m, "me@" + self.domain, self.people)
                    return True
            except (OSError, smtplib.SMTPException):
                return False
        wait_for("a submission that is taken", hand_in)
        return m["Message-Id"]

    def copy_of(self, to):
        """(envelope sender, bytes) as the sandbox MX took it."""
        taken = self.env.wait_mx(to, timeout=60)[0]
        raw = self.env.mx_content(taken)
        while raw.startswith(b"X-Envelope-"):
            raw = raw.split(b"\r\n", 1)[1]
        return taken["from"], raw

    def fetch(self, url, method="GET", **kwargs):
        """As a browser, at the tracking host."""
        host, path = re.fullmatch(r"http://([^/]+)(/.*)", url).groups()
        assert host == "email." + self.domain

        def ask():
            try:
                with requests.Session() as http:
                    http.trust_env = False
                    return http.request(
                        method, "http://127.0.0.1:%d%s" % (
                            self.env.api_port, path), headers={
                                "Host": host, "User-Agent": CHROME},
                        allow_redirects=False, timeout=20, **kwargs)
            except requests.RequestException:
                return None
        return wait_for("an answer of " + url, ask)

    def read(self):
        """The reader's part: pixel, links; signed List-Unsubscribe."""
        _, raw = self.copy_of(self.reader)
        m = email.message_from_bytes(raw, policy=email.policy.default)
        html = m.get_body(("html",)).get_content()
        assert not [url for url in LINKS if url in html]
        one, two = re.findall(r"<a href=[\"']([^\"']+)[\"']", html)[:2]
        pixel, = re.findall(r'<img width="1px" height="1px" alt="" src="(.*?)"',
                            html)
        keys = verifiers.records_of(
            self.env.api("GET", "/domains/" + self.domain).json())
        assert all(verifiers.by_python(raw, keys))
        signed = re.search(rb"[;\s]h=([^;]+);", raw).group(1).lower()
        assert b"list-unsubscribe:" in signed.replace(b"\r\n", b"")
        assert b"list-unsubscribe-post" in signed
        assert m["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        one_click = re.search(r"<(http://[^>]+)>", m["List-Unsubscribe"]
                              ).group(1)
        self.kill()
        reply = self.fetch(pixel)
        assert reply.headers["Content-Type"] == "image/png"
        for url, target in zip((one, two), LINKS):
            reply = self.fetch(url.replace("&amp;", "&"))
            assert (reply.status_code, reply.headers["Location"]) == (
                302, target)
        self.kill()
        # a scanner that only looks unsubscribes nobody
        assert self.fetch(one_click).status_code == 200
        assert self.fetch(one_click, "POST", data={
            "List-Unsubscribe": "One-Click"}).status_code == 200

    def mail(self, to, text):
        def hand_in():
            try:
                with smtplib.SMTP("127.0.0.1", self.env.smtp_port,
                                  timeout=30) as s:
                    s.sendmail("", [to], text)
                    return True
            except (OSError, smtplib.SMTPException):
                return False
        wait_for("mail that is taken", hand_in)

    def report(self):
        """Two hosts say what became of it."""
        sender, raw = self.copy_of(self.late)
        self.mail(sender, DSN.replace("\n", "\r\n").format(
            to=sender, recipient=self.late, copy=raw.decode()).encode())
        self.kill()
        sender, raw = self.copy_of(self.angry)
        self.mail("fbl@" + self.domain, ARF.replace("\n", "\r\n").format(
            to="fbl@" + self.domain, copy=raw.decode()).encode())

    # --- what is told of it ---

    def log(self):
        """Of the message; reports to who sent it by SMTP are others. What is
        put off as somebody was dead goes out later."""
        return collections.Counter(
            i["hap"] for i in self.api("log", limit=1000)["items"]
            if i["message_id"] == self.sent and i["hap"] != "tempfail")

    def stats(self):
        found, tags = collections.Counter(), collections.Counter()
        for i in self.api("stats")["items"]:
            found[i["event"]] += i["total_count"]
            tags[i["event"]] += i["tags"].get(SLUG, 0)
        return found, tags

    def campaign(self):
        c = self.api("campaigns/spring")
        return collections.Counter({
            k[:-6].replace("submitted", "sent"): v for k, v in c.items()
            if k.endswith("_count") and v})

    def events(self):
        self.env.faults.advance(3)       # what is that old is shown
        items = self.api("events", limit=100, **{"message-id": self.sent}
                         )["items"]
        return collections.Counter(
            (i["event"], i["recipient"], i.get("url", "")) for i in items
            if i.get("severity") != "temporary")

    def posts(self):
        """With their fields: (event, recipient, url) of each."""
        found = []
        for hook in self.env.hooks(self.hooks_at):
            f = hook["fields"]
            assert f["domain"] == self.domain and f["order"] == "7"
            assert f.get("tag", f.get("X-Mailgun-Tag")) in (TAG, "*")
            assert f.get("campaign-id", "spring") == "spring"
            found.append((f["event"], f["recipient"], f.get("url", "")))
        return found

    def rows(self):
        return {(table, i["address"], i.get("tag", ""))
                for table in ("bounces", "complaints", "unsubscribes")
                for i in self.api(table)["items"]}


def wait_same(env, what, get, wanted):
    """get() == wanted, told in full if it does not come to that."""
    try:
        env.wait(what, lambda: get() == wanted, 60)
    except AssertionError:
        assert get() == wanted, what


def happened(r):
    """(event, recipient, url) of the round, as webhooks name events."""
    return ([("delivered", to, "") for to in r.people if to != r.nobody]
            + [("opened", r.reader, "")]
            + [("clicked", r.reader, url) for url in LINKS]
            + [("unsubscribed", r.reader, "")]
            + [(event, to, "") for event in ("bounced", "dropped")
               for to in (r.nobody, r.late)]
            + [("complained", r.angry, "")])


def check(r, happened_, sent):
    env = r.env
    counted = collections.Counter(event for event, _, _ in happened_)
    wait_same(env, "webhooks", lambda: set(r.posts()), set(happened_))
    if r.role not in ("notifier", "master"):
        assert sorted(r.posts()) == sorted(happened_)
    wait_same(env, "the log", r.log, counted + collections.Counter(
        accepted=sent))
    both = counted + collections.Counter(sent=sent)
    wait_same(env, "statistics", r.stats, (both, both))
    wait_same(env, "the campaign", r.campaign, both)
    names = {"bounced": "failed"}
    wait_same(env, "events", r.events, collections.Counter(
        (names.get(event, event), to, url) for event, to, url in happened_
        if event != "dropped" or (("bounced", to, url) not in happened_))
        + collections.Counter(("accepted", to, "") for to in r.people))
    assert r.rows() == {
        ("bounces", r.nobody, ""), ("bounces", r.late, ""),
        ("complaints", r.angry, ""), ("unsubscribes", r.reader, "*")}


def go_round(env, role, by_smtp=False):
    r = Round(env, role, by_smtp)
    r.sent = r.send().strip("<>")
    r.kill()
    # who acts on mail whose 250 died with a sender is not asked again
    wait_same(env, "deliveries", lambda: r.log()["delivered"], 4)
    r.read()
    r.kill()
    r.report()
    r.kill()
    check(r, happened(r), len(r.people))
    return r


def test_the_full_round(own_env):
    r = go_round(own_env, None)
    # whoever wants no mail gets none
    r.sent = r.send("again").strip("<>")
    wait_same(own_env, "the second message", r.log, {
        "accepted": 5, "delivered": 1, "dropped": 4})
    for to in r.reader, r.late, r.angry:
        assert len(own_env.mx_messages(to)) == 1
    assert "nothing wrong" in own_env.ctl("fsck")


def test_the_round_while_processes_die(own_env):
    env = own_env
    # the last: workers of a dead master listen a moment longer
    env.expect_log("was killed by signal 9|killed by signal 9|lease|restarted|"
                   "child pid|exit signal|connection|lost|again|mailboxd|auth|"
                   "LMTP|lmtp|pid file|too late|master is gone|"
                   "MailgunListen .*Address already in use: waiting")
    for n, role in enumerate(["receiver", "sender", "notifier", "keeper",
                              "httpd", "auth", "mailboxd", "master"]):
        go_round(env, role, by_smtp=role in ("receiver", "auth") or n % 2)
    env.wait("an empty queue", lambda: not env.queued(), 60)
    assert "nothing wrong" in env.ctl("fsck")
