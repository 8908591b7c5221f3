"""Webhooks and route forwards: what is posted, when, and where never."""
import email
import email.policy
import hashlib
import hmac
import json
import os
import smtplib
import time
from email.message import EmailMessage

import pytest

from tests.stack.faults import KILL


def verified(env, fields):
    return fields["signature"] == hmac.new(
        env.key.encode(), (fields["timestamp"] + fields["token"]).encode(),
        hashlib.sha256).hexdigest()


def route_to(env, url, domain=None):
    """An address whose mail is posted to url."""
    domain = domain or env.new_domain()
    env.ctl("route", "add", env.account, "--expression",
            'match_recipient("app@%s")' % domain, "--action",
            'forward("%s")' % url)
    return "app@" + domain


def send(env, to, message):
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("al@example.net", [to], message)


def base_url(env):
    return env.hook_url.rsplit("/", 1)[0]


def simple(to, subject="hi"):
    return "From: al@example.net\r\nTo: %s\r\nSubject: %s\r\n\r\nx\r\n" % (
        to, subject)


def test_parsed_form_with_files(env):
    path = "/hook/parsed-%d" % os.getpid()
    to = route_to(env, base_url(env) + path)
    data = os.urandom(12 * 1024 * 1024)
    m = EmailMessage()
    m["From"] = "\u30a2\u30eb <al@example.net>"
    m["To"] = to
    m["Subject"] = "\u6dfb\u4ed8\u30d5\u30a1\u30a4\u30eb " * 8
    m["X-My"] = "1"
    m.set_content("\u672c\u6587\n", charset="iso-2022-jp")
    m.add_alternative("<p>html</p>", subtype="html")
    m.add_attachment(data, maintype="application", subtype="pdf",
                     filename="\u8cc7\u6599.pdf", cid="<pdf@x>")
    m.add_attachment("a,b\n", subtype="csv", filename="list.csv")
    send(env, to, m.as_bytes(policy=email.policy.SMTP))
    post = env.wait_hook(lambda h: True, path)[0]
    f, files = post["fields"], post["files"]
    assert post["headers"]["User-Agent"].startswith("mailgun/")
    assert post["headers"]["Content-Type"].startswith("multipart/form-data")
    assert verified(env, f)
    assert f["recipient"] == to and f["sender"] == "al@example.net"
    assert f["from"] == "\u30a2\u30eb <al@example.net>"
    assert f["subject"] == m["Subject"].strip() == f["Subject"]
    assert f["X-My"] == "1" and f["Mime-Version"] == "1.0"
    assert f["body-plain"].strip() == "\u672c\u6587"
    assert f["body-html"].strip() == "<p>html</p>"
    assert f["stripped-text"] and f["stripped-html"]
    assert f["attachment-count"] == "2"
    assert [(x["name"], x["filename"], x["content_type"], x["size"])
            for x in files] == [
        ("attachment-1", "\u8cc7\u6599.pdf", "application/pdf", len(data)),
        ("attachment-2", "list.csv", "text/csv", files[1]["size"])]
    assert files[0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert json.loads(f["content-id-map"]) == {"<pdf@x>": "attachment-1"}
    names = [name for name, _ in json.loads(f["message-headers"])]
    assert "X-My" in names and names.index("From") < names.index("X-My")


def test_raw_form_is_transcoded(env):
    path = "/hook/raw-%d/mime" % os.getpid()
    to = route_to(env, base_url(env) + path)
    m = EmailMessage()
    m["From"] = "al@example.net"
    m["To"] = to
    m["Subject"] = "raw"
    m.set_content("\u672c\u6587\n", charset="iso-2022-jp")
    m.add_attachment(b"\xff\x00\xfe", maintype="image", subtype="png",
                     filename="a.png")
    send(env, to, m.as_bytes(policy=email.policy.SMTP))
    f = env.wait_hook(lambda h: True, path)[0]["fields"]
    assert verified(env, f)
    assert f["recipient"] == to and "body-plain" not in f
    got = email.message_from_string(f["body-mime"],
                                    policy=email.policy.default)
    text = got.get_body()
    assert text.get_content_charset() == "utf-8"
    assert text.get_content().strip() == "\u672c\u6587"
    assert next(got.iter_attachments()).get_content() == b"\xff\x00\xfe"


def test_redirects_are_not_followed(env):
    path = "/redirect/" + base_url(env).replace("/", "%2F") + "%2Fhook%2Ftrap"
    to = route_to(env, base_url(env) + path)
    send(env, to, simple(to))
    env.wait("the 302 in the queue", lambda: "302" in env.ctl(
        "queue", "list", "--domain", to.split("@")[1]))
    assert not env.hooks("/hook/trap")


def test_406_is_never_again(env):
    path = "/status/406/%d" % os.getpid()
    to = route_to(env, base_url(env) + path)
    domain = to.split("@")[1]
    send(env, to, simple(to))
    env.wait("the failure in the log", lambda: [
        i for i in env.api("GET", "/%s/log" % domain).json()["items"]
        if i["hap"] == "forwardfail"])
    assert len(env.hooks(path)) == 1


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/latest/meta-data/", "http://[fd00::1]/",
    "http://10.0.0.1:8080/", "http://0/", "http://[::ffff:192.168.0.1]/"])
def test_private_addresses_are_refused(env, url):
    to = route_to(env, url)
    domain = to.split("@")[1]
    env.expect_log(r"given up: domain %s message \d+ .*refused: " % domain)
    send(env, to, simple(to))
    env.wait("the failure in the log", lambda: [
        i for i in env.api("GET", "/%s/log" % domain).json()["items"]
        if i["hap"] == "forwardfail"])


def test_webhook_is_posted_once(env):
    path = "/status/500/once-%d" % os.getpid()
    domain = env.new_domain()
    env.ctl("domain", "set", domain, "webhook.deliver=" + base_url(env) + path)
    env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": "bob@%s.out" % domain, "text": "x"})
    env.wait_hook(lambda h: True, path)
    env.wait("the webhook to be gone", lambda: path.split("/")[-1]
             not in env.ctl("queue", "list", "--transport", "hook"))
    assert len(env.hooks(path)) == 1


def test_hanging_server_delays_nobody(env):
    slow = route_to(env, base_url(env) + "/slow/5/%d" % os.getpid())
    path = "/hook/quick-%d" % os.getpid()
    # another host:port as far as the notifier can tell
    quick = route_to(env, base_url(env).replace("127.0.0.1", "localhost")
                     + path)
    for i in range(15):
        send(env, slow, simple(slow, "slow %d" % i))
    send(env, quick, simple(quick))
    env.wait_hook(lambda h: True, path, timeout=4)


@pytest.mark.stack()
def test_forward_schedule(own_env):
    """10m, 10m, 15m, 30m, 1h, 2h, 4h, then it failed: eight posts."""
    env = own_env
    path = "/status/503/schedule"
    to = route_to(env, base_url(env) + path, env.domain)
    send(env, to, simple(to))
    for n, minutes in enumerate([10, 10, 15, 30, 60, 120, 240]):
        env.wait("attempt %d" % (n + 1), lambda n=n: len(
            env.hooks(path)) == n + 1)
        time.sleep(0.3)
        env.faults.advance(60 * minutes - 30)
        time.sleep(1.5)
        assert len(env.hooks(path)) == n + 1
        env.faults.advance(31)
    env.wait("the last attempt", lambda: len(env.hooks(path)) == 8)
    items = env.wait("the failure in the log", lambda: [
        i for i in env.api("GET", "/%s/log" % env.domain).json()["items"]
        if i["hap"] == "forwardfail"])
    assert "503" in items[0]["message"]
    assert env.ctl("fsck")


@pytest.mark.stack()
def test_notifier_killed_after_the_answer(own_env):
    """Posted, not yet committed: it is posted again, and settled then."""
    env = own_env
    path = "/hook/killed"
    to = route_to(env, base_url(env) + path, env.domain)
    env.expect_log(r"notifier")
    env.faults.set("notifier.reply.after", KILL)
    send(env, to, simple(to))
    env.wait("the second post", lambda: len(env.hooks(path)) == 2)
    env.wait("an empty queue", lambda: "killed" not in env.ctl(
        "queue", "list", "--transport", "http"))
    first, second = env.hooks(path)
    assert first["fields"]["token"] != second["fields"]["token"]
    assert env.ctl("fsck")
