"""Others read our webhooks: the Mailgun view of django-anymail takes every event
that is posted, understands it, and refuses a forged one."""
import email.policy
import json
import smtplib
import sys
import urllib.parse
from email.message import EmailMessage

import pytest
import requests

from test_round import EXTRA, TAG, Round, happened
from tests.stack.process import Process, free_ports
from tests.stack.stack import ROOT

pytestmark = pytest.mark.both


class Judge:
    def __init__(self, env):
        self.env, self.port = env, free_ports(1)[0]
        self.url = "http://127.0.0.1:%d/" % self.port
        self.log = env.dir + "/log/anymail-%d.json" % self.port
        self.process = Process("anymail", [
            sys.executable, ROOT + "/tests/stack/anymail_judge.py", "--port",
            str(self.port), "--log", self.log, "--key", env.key],
            env.dir + "/log/anymail.log", cwd="/")

    def start(self):
        self.process.wait_listening(self.port)
        return self

    def lines(self):
        return self.env.json_lines(self.log)

    def event(self, kind, to):
        return self.env.wait("%s of %s" % (kind, to), lambda: [
            line for line in self.lines()
            if line.get("event") == kind and line["recipient"] == to])[0]


@pytest.fixture
def judge(env):
    judge = Judge(env)
    try:
        yield judge.start()
    finally:
        judge.process.stop()


KINDS = ["deliver", "bounce", "drop", "spam", "unsubscribe", "click", "open"]


def hooked(env, judge):
    domain = env.new_domain()
    for kind in KINDS:
        env.ctl("domain", "set", domain,
                "webhook.%s=%s%s" % (kind, judge.url, kind))
    return domain


def send(env, domain, to, **more):
    r = env.api("POST", "/%s/messages" % domain, data=dict({
        "from": "me@" + domain, "to": to, "subject": "Hello", "text": "hi",
        "o:tag": ["one", "two words"], "v:order": "7",
        "v:list": '{"a": [1, "\u00fc"]}'}, **more))
    assert r.status_code == 200, r.text
    return r.json()["id"]


def check(env, event, sent):
    assert event["message_id"] == sent
    assert event["tags"] == ["one", "two words"]
    assert abs(event["timestamp"] - env.faults.now()) < 600
    assert len(event["id"]) == 50


def variables(event):
    """Where there is no message-headers they come one by one, as text."""
    found = event["metadata"]
    return {k: json.loads(v) if k == "list" and isinstance(v, str) else v
            for k, v in found.items()}


def test_what_the_sender_posts(env, judge):
    domain = hooked(env, judge)
    sent = send(env, domain, "judged@remote.test")
    event = judge.event("delivered", "judged@remote.test")
    check(env, event, sent)
    assert variables(event) == {"order": "7", "list": {"a": [1, "\u00fc"]}}

    sent = send(env, domain, "bounce-550-judged@remote.test")
    event = judge.event("bounced", "bounce-550-judged@remote.test")
    check(env, event, sent)
    assert event["reason"] == "bounced"
    assert "user unknown" in event["response"]
    event = judge.event("rejected", "bounce-550-judged@remote.test")
    check(env, event, sent)
    assert event["reason"] == "bounced"
    assert "user unknown" in event["description"]

    sent = send(env, domain, "bounce-550-judged@remote.test")
    event = env.wait("the drop", lambda: [
        line for line in judge.lines() if line.get("message_id") == sent])[0]
    assert (event["event"], event["reason"]) == ("rejected", "bounced")
    assert "previously bounced" in event["description"]
    assert not [line for line in judge.lines() if "refused" in line]


@pytest.mark.stack(extra=EXTRA)
def test_every_event(own_env):
    """Of a full round: each that is posted is taken, once, and understood."""
    env = own_env
    judge = Judge(env)
    try:
        judge.start()
        r = Round(env, None, False, judge.url[:-1])
        r.sent = r.send().strip("<>")
        env.wait("deliveries", lambda: r.log()["delivered"] == 4)
        r.read()
        r.report()
        names = {"dropped": "rejected"}
        wanted = sorted((names.get(event, event), to, url)
                        for event, to, url in happened(r))
        env.wait("all events", lambda: len(judge.lines()) >= len(wanted))
    finally:
        judge.process.stop()
    events = judge.lines()
    assert sorted((e.get("event"), e.get("recipient"), e.get("url") or "")
                  for e in events) == wanted
    for e in events:
        assert e["message_id"] == "<%s>" % r.sent
        assert e["metadata"] == {"order": "7"}
        assert e["tags"] == (["*"] if e["event"] == "unsubscribed" else [TAG])
        if e["event"] in ("opened", "clicked", "unsubscribed"):
            assert "Chrome" in e["user_agent"]
        if e["event"] in ("bounced", "rejected"):
            assert e["reason"] == "bounced"


def test_a_forged_one_is_refused(env, judge):
    """The judge looks at the signature: what we posted, changed, does not get
    past it; as it was, it does."""
    domain = env.new_domain()
    env.ctl("domain", "set", domain, "webhook.deliver=%s/%s" % (
        env.hook_url, domain))
    send(env, domain, "forged@remote.test")
    hook = env.wait("the post", lambda: env.hooks("/hook/" + domain))[0]
    fields = hook["fields"]

    def post(**changed):
        body = urllib.parse.urlencode(
            {k: v for k, v in dict(fields, **changed).items()
             if v is not None}, doseq=True)
        return requests.post(judge.url, body, headers={
            "Content-Type": "application/x-www-form-urlencoded"}).status_code
    assert post() == 200
    assert post(signature=fields["signature"][::-1]) == 400
    assert post(token=fields["token"][::-1]) == 400
    assert post(timestamp=str(int(fields["timestamp"]) + 1)) == 400
    assert post(signature=None) == 400
    assert len([line for line in judge.lines() if "event" in line]) == 1


# --- what routes post ---

@pytest.mark.parametrize("form", ["inbound/parsed", "inbound/mime"])
def test_inbound(env, judge, form):
    domain = env.new_domain()
    to = "app@" + domain
    r = env.api("POST", "/routes", data={
        "expression": "match_recipient('%s')" % to,
        "action": "forward('%s%s')" % (judge.url, form)})
    m = EmailMessage()
    m["From"] = "B\u00f6b <bob@example.net>"
    m["To"] = "Team <%s>, other@example.net" % to
    m["Subject"] = "gr\u00fc\u00dfe " + form
    m.set_content("new words\n\nOn Mon, 1 Jan 2024 at 10:00, Al wrote:\n"
                  "> old words\n")
    m.add_alternative("<p>new words <img src='cid:i@x'></p>", subtype="html")
    m.get_payload()[1].add_related(b"GIF", "image", "gif", cid="<i@x>",
                                   filename="i.gif", disposition="inline")
    m.add_attachment(b"\x00\xff\x01", "application", "octet-stream",
                     filename="\u00fc.bin")
    try:
        with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
            s.sendmail("bob@example.net", [to],
                       m.as_bytes(policy=email.policy.SMTP))
        got, = env.wait("the judge to have it", lambda: [
            line for line in judge.lines() if "inbound" in line])
    finally:
        env.api("DELETE", "/routes/" + r.json()["route"]["id"])
    assert not [line for line in judge.lines() if "refused" in line]
    assert got["inbound"] == m["Subject"]
    assert (got["name"], got["from"]) == ("B\u00f6b", "bob@example.net")
    assert got["to"] == [to, "other@example.net"]
    assert (got["sender"], got["recipient"]) == ("bob@example.net", to)
    assert "new words" in got["text"] and "old words" in got["text"]
    assert "cid:i@x" in got["html"]
    if form.endswith("parsed"):
        assert got["stripped_text"].strip() == "new words"
    assert ["\u00fc.bin", "application/octet-stream", "00ff01"] in got[
        "attachments"]
    assert got["inline"] == ["i@x"]
