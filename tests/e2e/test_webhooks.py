"""Webhooks: where they are set, what each kind of event posts, how often, and
that none is lost."""
import hashlib
import hmac
import json
import os
import re
import signal
import smtplib
import sqlite3
import time

import pytest
import requests

from tests.stack import track
from tests.stack.nameserver import Nameserver
from tests.stack.process import children, listens, title

pytestmark = pytest.mark.both

IDS = ["bounce", "click", "deliver", "drop", "open", "spam", "unsubscribe"]


# --- /domains/{domain}/webhooks ---

def test_crud(env):
    domain = env.new_domain()
    path = "/domains/%s/webhooks" % domain
    r = env.api("GET", path)
    assert r.status_code == 200 and r.json() == {"webhooks": {}}
    for id_ in IDS:
        url = "https://hooks.test/%s?a=b" % id_
        r = env.api("POST", path, data={"id": id_, "url": url})
        assert r.status_code == 200, r.text
        assert r.json() == {"message": "Webhook has been created",
                            "webhook": {"url": url}}
        r = env.api("GET", path + "/" + id_)
        assert r.json() == {"webhook": {"url": url}}
    assert env.api("GET", path).json() == {"webhooks": {
        id_: {"url": "https://hooks.test/%s?a=b" % id_} for id_ in IDS}}
    # one place: mailgunctl sees it
    assert "https://hooks.test/drop?a=b" in env.ctl("domain", "show", domain)
    r = env.api("PUT", path + "/drop", data={"url": "http://x.test/"})
    assert r.json() == {"message": "Webhook has been updated",
                        "webhook": {"url": "http://x.test/"}}
    r = env.api("DELETE", path + "/drop")
    assert r.json() == {"message": "Webhook has been deleted",
                        "webhook": {"url": "http://x.test/"}}
    assert env.api("GET", path + "/drop").status_code == 404
    assert "drop" not in env.api("GET", path).json()["webhooks"]


@pytest.mark.parametrize("method, path, data, status, text", [
    ("POST", "", {}, 400, "Parameter 'id' is missing"),
    ("POST", "", {"id": "bounce"}, 400, "Parameter 'url' is missing"),
    ("POST", "", {"id": "bounce", "url": ""}, 400,
     "Parameter 'url' is missing"),
    ("POST", "", {"id": "bounced", "url": "http://x.test/"}, 400,
     "Invalid id 'bounced'. It can be any of: 'bounce', 'click', 'deliver',"
     " 'drop', 'open', 'spam', 'unsubscribe'."),
    ("POST", "", {"id": "bounce", "url": "javascript:1"}, 400,
     "url: 'javascript:1' is no URL; try https://example.com/hook"),
    ("POST", "", {"id": "click", "url": "http://y.test/"}, 400,
     "Webhook for 'click' already exists"),
    ("PUT", "/click", {}, 400, "Parameter 'url' is missing"),
    ("PUT", "/click", {"url": "x"}, 400,
     "url: 'x' is no URL; try https://example.com/hook"),
    ("PUT", "/open", {"url": "http://x.test/"}, 404, "Webhook not found"),
    ("PUT", "/opened", {"url": "http://x.test/"}, 404, "Webhook not found"),
    ("GET", "/open", {}, 404, "Webhook not found"),
    ("GET", "/x", {}, 404, "Webhook not found"),
    ("DELETE", "/open", {}, 404, "Webhook not found"),
])
def test_crud_refuses(env, method, path, data, status, text):
    domain = env.new_domain()
    env.ctl("domain", "set", domain, "webhook.click=http://was.test/")
    r = env.api(method, "/domains/%s/webhooks%s" % (domain, path), data=data)
    assert (r.status_code, r.json()) == (status, {"message": text})
    assert env.api("GET", "/domains/%s/webhooks" % domain).json() == {
        "webhooks": {"click": {"url": "http://was.test/"}}}


def test_crud_is_the_owner_s(env):
    domain = env.new_domain()
    other, key = env.new_account()
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/open"),
                         ("PUT", "/open"), ("DELETE", "/open")):
        r = env.api(method, "/domains/%s/webhooks%s" % (domain, path), key=key,
                    data={"id": "open", "url": "http://x.test/"})
        assert (r.status_code, r.json()["message"]) == (
            404, "Domain not found"), (method, path)
    assert env.api("GET", "/domains/%s/webhooks" % domain).json() == {
        "webhooks": {}}


def test_crud_turns_tracking_on(env):
    domain = env.new_domain()
    path = "/domains/%s/webhooks" % domain

    def tracked():
        shown = env.ctl("domain", "show", domain)
        return [re.search(r"(?m)^  %s +(\S+)" % name, shown).group(1)
                for name in ("track_opens", "track_clicks")]
    assert tracked() == ["false", "no"]
    env.api("POST", path, data={"id": "open", "url": "http://x.test/"})
    assert tracked() == ["true", "no"]
    env.api("POST", path, data={"id": "click", "url": "http://x.test/"})
    assert tracked() == ["true", "yes"]
    env.api("DELETE", path + "/open")
    env.api("DELETE", path + "/click")
    assert tracked() == ["false", "no"]
    env.ctl("domain", "set", domain, "track_clicks=htmlonly")
    env.api("POST", path, data={"id": "click", "url": "http://x.test/"})
    assert tracked() == ["false", "htmlonly"]


# --- what is posted ---

def base_url(env):
    return env.hook_url.rsplit("/", 1)[0]


def hooked_domain(env, path, ids=IDS, account=None):
    """A domain that posts everything to <path>/<id>."""
    domain = env.new_domain(account)
    env.ctl("domain", "set", domain, *[
        "webhook.%s=%s%s/%s" % (id_, base_url(env), path, id_)
        for id_ in ids])
    return domain


def verified(post, key):
    """As the manual's sample does it."""
    f = post["fields"]
    assert re.fullmatch(r"[0-9a-z]{50}", f["token"])
    return f["signature"] == hmac.new(
        key.encode(), (f["timestamp"] + f["token"]).encode(),
        hashlib.sha256).hexdigest()


COMMON = {"event", "recipient", "domain", "timestamp", "token", "signature",
          "my_id", "deep"}
LABELS = {"campaign-id", "campaign-name", "tag"}
FILE = {"attachment-count"}
KEYS = {
    "delivered": COMMON | {"message-headers", "Message-Id", "X-Mailgun-Tag"},
    "bounced": COMMON | LABELS | FILE | {
        "message-headers", "Message-Id", "code", "error", "notification"},
    "complained": COMMON | LABELS | FILE | {"message-headers", "Message-Id"},
    "dropped": COMMON | FILE | {
        "message-headers", "Message-Id", "X-Mailgun-Tag", "code", "reason",
        "description"},
}


def send_labelled(env, domain, to, key=None, **more):
    data = {"from": "me@" + domain, "to": to, "subject": "Gr\u00fc\u00dfe",
            "text": "x", "o:tag": ["one", "t 2"],
            "v:my_id": "7", "v:deep": '{"a": [1]}'}
    data.update(more)
    r = env.api("POST", "/%s/messages" % domain, key=key, data=data)
    assert r.status_code == 200, r.text
    return r.json()["id"]


def test_fields(env):
    """Delivered, refused, suppressed: the manual's tables, key by key."""
    path = "/hook/fields-%d" % os.getpid()
    domain = hooked_domain(env, path)
    for id_, name in (("c1", "First"), ("c2", "Second")):
        env.ctl("campaign", "add", domain, name, "--id", id_)
    env.ctl("suppression", "add", domain, "complaint", "angry@x.test")
    ok, bad, angry = "ok@x.test", "bounce-550-h@x.test", "angry@x.test"
    id_ = send_labelled(env, domain, [ok, bad, angry],
                        **{"o:campaign": ["c1", "c2"]})
    posts = env.wait("four posts", lambda: len(env.hooks(path)) >= 4
                     and env.hooks(path))
    assert sorted((p["path"].rsplit("/", 1)[1], p["fields"]["event"],
                   p["fields"]["recipient"]) for p in posts) == [
        ("bounce", "bounced", bad), ("deliver", "delivered", ok),
        ("drop", "dropped", angry), ("drop", "dropped", bad)]
    for p in posts:
        f = p["fields"]
        assert set(f) == KEYS[f["event"]], f["event"]
        assert verified(p, env.key)
        assert f["domain"] == domain and f["Message-Id"] == id_
        assert f["my_id"] == "7" and json.loads(f["deep"]) == {"a": [1]}
        assert ["Subject", "Gr\u00fc\u00dfe"] in json.loads(
            f["message-headers"])
        assert f.get("tag", f.get("X-Mailgun-Tag")) == ["one", "t 2"]
        assert abs(int(f["timestamp"]) - env.faults.now()) < 60
    by = {(p["fields"]["event"], p["fields"]["recipient"]): p for p in posts}
    f = by["bounced", bad]["fields"]
    assert (f["code"], f["error"]) == ("5.1.1", "5.1.1 user unknown")
    assert f["campaign-id"] == ["c1", "c2"]
    assert f["campaign-name"] == ["First", "Second"]
    f = by["dropped", bad]["fields"]
    assert (f["reason"], f["code"], f["description"]) == (
        "hardfail", "5.1.1", "5.1.1 user unknown")
    f = by["dropped", angry]["fields"]
    assert (f["reason"], f["code"]) == ("hardfail", "607")
    assert f["description"] == ("Not delivering to a user who marked your "
                                "messages as spam")
    for key in (("bounced", bad), ("dropped", bad), ("dropped", angry)):
        [file] = by[key]["files"]
        assert (file["name"], file["filename"], file["content_type"]) == (
            "attachment-1", "message.mime", "message/rfc822")
        assert "Message-Id: " + id_ in file["text"]
    assert not by["delivered", ok]["files"]


def test_variables_clash(env):
    """The event's field comes first; of what signs, the variable does."""
    path = "/hook/clash-%d" % os.getpid()
    domain = hooked_domain(env, path, ["deliver"])
    send_labelled(env, domain, "ok@x.test", **{
        "v:event": "mine", "v:token": "mine", "v:timestamp": "1",
        "o:testmode": "yes"})
    f = env.wait_hook(lambda h: True, path)[0]["fields"]
    assert f["event"] == ["delivered", "mine"]
    assert f["token"][0] == "mine" and f["timestamp"][0] == "1"
    assert f["is-test-mode"] == "true"
    assert f["signature"] == hmac.new(
        env.key.encode(), (f["timestamp"][1] + f["token"][1]).encode(),
        hashlib.sha256).hexdigest()


def test_recipient_s_own_variables(env):
    path = "/hook/own-%d" % os.getpid()
    domain = hooked_domain(env, path, ["drop"])
    who = ["bounce-550-%d@x.test" % i for i in range(2)]
    send_labelled(env, domain, who, **{
        "subject": "Hi %recipient.name%", "v:my_id": "%recipient.id%",
        "recipient-variables": json.dumps({
            a: {"id": i, "name": "N%d" % i} for i, a in enumerate(who)})})
    posts = env.wait("two posts", lambda: len(env.hooks(path)) >= 2
                     and env.hooks(path))
    for p in posts:
        f, i = p["fields"], who.index(p["fields"]["recipient"])
        assert f["my_id"] == str(i)
        headers = json.loads(f["message-headers"])
        assert ["Subject", "Hi N%d" % i] in headers
        assert ["To", who[i]] in headers
        assert "Subject: Hi N%d\r\n" % i in p["files"][0]["text"]


def test_large_message_of_a_batch(env):
    """Larger than a slice, and with variables: each post has its own copy."""
    path = "/hook/large-%d" % os.getpid()
    domain = hooked_domain(env, path, ["drop"])
    who = ["bounce-550-l%d@x.test" % i for i in range(2)]
    r = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": who, "subject": "Hi %recipient.name%",
        "text": "Dear %recipient.name%", "recipient-variables": json.dumps({
            a: {"name": "N" * (i + 1)} for i, a in enumerate(who)})},
        files={"attachment": ("a.bin", os.urandom(700 * 1024))})
    assert r.status_code == 200, r.text
    posts = env.wait("two posts", lambda: len(env.hooks(path)) >= 2
                     and env.hooks(path))
    sizes = {}
    for p in posts:
        i = who.index(p["fields"]["recipient"])
        [file] = p["files"]
        assert "Subject: Hi %s\r\n" % ("N" * (i + 1)) in file["text"]
        assert "Dear %s" % ("N" * (i + 1)) in file["text"]
        sizes[i] = file["size"]
    assert sizes[0] > 900 * 1024
    # subject, text, and the length of the address in To
    assert sizes[1] - sizes[0] == 2


REPORT = """\
From: MAILER-DAEMON@remote.test
To: {to}
Subject: report
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="b"

--b

words
--b
Content-Type: message/{kind}

{fields}

--b
Content-Type: message/rfc822

{original}
--b--
"""


def test_fields_of_reports(env):
    """A complaint, and a bounce that comes back after delivery: the message in
    the report goes along, since ours is not kept that long."""
    path = "/hook/reports-%d" % os.getpid()
    domain = hooked_domain(env, path, ["spam", "bounce", "drop"])
    env.ctl("campaign", "add", domain, "First", "--id", "c1")
    angry, gone = "angry-%s@x.test" % domain, "gone-%s@x.test" % domain
    ids = {to: send_labelled(env, domain, to, **{"o:campaign": "c1"})
           for to in (angry, gone)}
    for to, kind, fields in (
            (angry, "feedback-report", "Feedback-Type: abuse\nVersion: 1\n"
             "User-Agent: t/1"),
            (gone, "delivery-status", "Reporting-MTA: dns; x.test\n\n"
             "Final-Recipient: rfc822; %s\nAction: failed\nStatus: 5.1.1\n"
             "Diagnostic-Code: smtp; 550 5.1.1 no such user" % gone)):
        taken = env.wait_mx(to)[-1]
        env.wait("the delivery", lambda to=to: [
            i for i in env.api("GET", "/%s/log" % domain).json()["items"]
            if i["hap"] == "delivered" and to in i["message"]])
        original = re.sub(r"(?im)^X-Envelope-.*\n", "", env.mx_content(
            taken).decode().replace("\r\n", "\n"))
        with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
            s.sendmail("", [taken["from"]], REPORT.format(
                to=taken["from"], kind=kind, fields=fields,
                original=original).replace("\n", "\r\n").encode())
    posts = env.wait("three posts", lambda: len(env.hooks(path)) >= 3
                     and env.hooks(path))
    assert sorted((p["fields"]["event"], p["fields"]["recipient"])
                  for p in posts) == [("bounced", gone), ("complained", angry),
                                      ("dropped", gone)]
    for p in posts:
        f = p["fields"]
        assert set(f) == KEYS[f["event"]] and verified(p, env.key)
        assert f["Message-Id"] == ids[f["recipient"]]
        assert ["Subject", "Gr\u00fc\u00dfe"] in json.loads(
            f["message-headers"])
        [file] = p["files"]
        assert file["content_type"] == "message/rfc822"
        assert "Message-Id: " + f["Message-Id"] in file["text"]
        if f["event"] == "bounced":
            assert (f["code"], f["error"]) == ("5.1.1", "5.1.1 no such user")
        if f["event"] != "dropped":
            assert (f["campaign-id"], f["campaign-name"]) == ("c1", "First")


CHROME = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML,"
          " like Gecko) Chrome/120.0.0.0 Safari/537.36")
CLIENT = {"ip", "user-agent", "device-type", "client-type", "client-name",
          "client-os"}


def numbers_of(env, message_id):
    """The domain's and the message's, as links have them."""
    text = ("SELECT domain_id, id FROM message WHERE message_id = '%s'"
            % message_id.strip("<>"))
    if env.pg:
        return [int(n) for n in env.pg.sql(text).strip().split("|")]
    with sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % env.dir,
                         uri=True, timeout=30) as db:
        return list(db.execute(text).fetchone())


def test_fields_of_readers(env):
    """Opened, clicked, unsubscribed by a person: key by key; a machine's open
    is told to nobody."""
    path, to = "/hook/readers-%d" % os.getpid(), "anna@x.test"
    domain = hooked_domain(env, path, ["open", "click", "unsubscribe"])
    for id_, name in (("c1", "First"), ("c2", "Second")):
        env.ctl("campaign", "add", domain, name, "--id", id_)
    sent = send_labelled(env, domain, to, **{"o:campaign": ["c1", "c2"]})
    env.wait_mx(to)
    env.wait("the delivery", lambda: "delivered" in [
        i["hap"] for i in env.api("GET", "/%s/log" % domain).json()["items"]])
    ids = numbers_of(env, sent)

    def fetch(method, kind, text="", agent=CHROME, **more):
        link = track.path(env.dir + "/etc/tracking", kind, *ids, to, text)
        with requests.Session() as http:
            http.trust_env = False
            r = http.request(method, "http://127.0.0.1:%d%s" % (
                env.api_port, link), allow_redirects=False, timeout=60,
                headers={"Host": "email." + domain, "User-Agent": agent},
                **more)
        assert r.status_code in (200, 302)
    fetch("HEAD", track.OPEN)  # nobody does
    env.faults.advance(3600)
    fetch("GET", track.OPEN)
    fetch("GET", track.CLICK, "http://x.test/?a=1&b=\u00fc")
    fetch("POST", track.UNSUBSCRIBE, data={"List-Unsubscribe": "One-Click"})
    posts = env.wait("three posts", lambda: len(env.hooks(path)) >= 3
                     and env.hooks(path))
    assert sorted(p["fields"]["event"] for p in posts) == [
        "clicked", "opened", "unsubscribed"]
    for p in posts:
        f = p["fields"]
        more = {"url"} if f["event"] == "clicked" else set()
        assert set(f) == COMMON | LABELS | CLIENT | {"message-id"} | more
        assert verified(p, env.key) and not p["files"]
        assert (f["recipient"], f["domain"]) == (to, domain)
        assert f["message-id"] == sent.strip("<>")
        assert f["campaign-id"] == ["c1", "c2"]
        assert f["campaign-name"] == ["First", "Second"]
        assert f["tag"] == ("*" if f["event"] == "unsubscribed"
                            else ["one", "t 2"])
        assert f["user-agent"] == CHROME and f["ip"] == "127.0.0.1"
        assert (f["device-type"], f["client-type"]) == ("desktop", "browser")
        assert f["my_id"] == "7" and json.loads(f["deep"]) == {"a": [1]}
        if more:
            assert f["url"] == "http://x.test/?a=1&b=\u00fc"


# --- when, and how often ---

def hook_rows(env):
    return [r for r in env.ctl("queue", "list", "--transport", "hook",
                               "--limit", "100000").splitlines()[1:]
            if r[:1].isdigit()]


def failed(env, domain=None):
    """Rows of mailgunctl webhooks failed: {column: value}."""
    lines = env.ctl(*["webhooks", "failed"] + [domain] * bool(domain)
                    ).splitlines()
    if not lines[0].startswith("ID"):
        return []
    names = re.split(r"\s{2,}", lines[0].strip())
    return [dict(zip(names, re.split(r"\s{2,}", row.strip(),
                                     maxsplit=len(names) - 1)))
            for row in lines[1:]]


@pytest.mark.stack()
def test_schedule_dead_letter_replay(own_env):
    """Three times at 10 minutes, four at 30, then it is given up; posted again
    when somebody says so, where the domain wants it then."""
    env, path = own_env, "/status/503/schedule"
    domain = hooked_domain(env, path, ["drop", "deliver"])
    send_labelled(env, domain, ["bounce-550-s@x.test", "ok@x.test"])
    drops = path + "/drop"
    for n, minutes in enumerate([10, 10, 10, 30, 30, 30, 30]):
        env.wait("post %d" % (n + 1), lambda n=n: len(
            env.hooks(drops)) == n + 1)
        env.wait("it to be put off", lambda n=n: " %d " % (n + 1) in "".join(
            hook_rows(env)))
        env.faults.advance(60 * minutes - 30)
        time.sleep(1.2)
        assert len(env.hooks(drops)) == n + 1
        env.faults.advance(31)
    env.wait("the last post", lambda: len(env.hooks(drops)) == 8)
    env.wait("an empty queue", lambda: not hook_rows(env))
    assert len(env.hooks(path + "/deliver")) == 1  # once, by the manual
    rows = failed(env)
    assert sorted((r["DOMAIN"], r["EVENT"], r["RECIPIENT"], r["URL"],
                   r["TRIES"], r["LAST ANSWER"]) for r in rows) == [
        (domain, "delivered", "ok@x.test",
         base_url(env) + path + "/deliver", "1", "503 ok"),
        (domain, "dropped", "bounce-550-s@x.test",
         base_url(env) + drops, "8", "503 ok")]
    assert failed(env, env.domain) == []

    # the customer mends his URL
    r = env.api("PUT", "/domains/%s/webhooks/drop" % domain, data={
        "url": base_url(env) + "/hook/mended"})
    assert r.status_code == 200
    [dropped] = [r for r in rows if r["EVENT"] == "dropped"]
    assert "1 webhook is posted again" in env.ctl(
        "webhooks", "replay", dropped["ID"])
    again = env.wait_hook(lambda h: True, "/hook/mended")[0]
    first = env.hooks(drops)[0]
    assert verified(again, env.key)
    assert again["files"] == first["files"] and first["files"]
    fresh = {"timestamp", "token", "signature"}
    assert {k: v for k, v in again["fields"].items() if k not in fresh} == {
        k: v for k, v in first["fields"].items() if k not in fresh}
    assert again["fields"]["token"] != first["fields"]["token"]
    assert [r["EVENT"] for r in failed(env)] == ["delivered"]
    assert "no webhook" in env.ctl("webhooks", "replay", dropped["ID"],
                                   check=False).stderr

    # all of a domain, long after its message was forgotten; then for good
    env.ctl("domain", "set", domain, "webhook.deliver=%s/hook/late" %
            base_url(env))
    assert "1 webhook is" in env.ctl("webhooks", "replay", domain)
    late = env.wait_hook(lambda h: True, "/hook/late")[0]["fields"]
    assert late["my_id"] == "7" and late["recipient"] == "ok@x.test"
    assert failed(env) == []
    env.ctl("fsck")


@pytest.mark.stack(extra="MailgunRetry 1h\nMailgunRetryLimit 2h\n"
                   "MailgunHookRetryDelivered on\n")
def test_given_up_at_last(own_env):
    """A soft bounce that runs out is dropped once, maxfails, and no bounce; a
    delivered webhook is tried again where that is wanted."""
    env, path = own_env, "/hook/last"
    domain = hooked_domain(env, path, ["drop", "bounce"])
    env.ctl("domain", "set", domain, "webhook.deliver=%s/status/500/d" %
            base_url(env))
    send_labelled(env, domain, ["defer-451-m@x.test", "ok@x.test"])
    env.wait("the first post", lambda: len(env.hooks("/status/500/d")) == 1)
    env.wait("the first try", lambda: "tempfail" in [
        i["hap"] for i in env.api("GET", "/%s/log" % domain).json()["items"]])
    env.faults.advance(601)
    env.wait("the second post", lambda: len(env.hooks("/status/500/d")) == 2)
    for _ in range(3):
        env.faults.advance(3000)
        time.sleep(1.2)
    post = env.wait_hook(lambda h: True, path + "/drop")[0]["fields"]
    assert (post["recipient"], post["reason"]) == ("defer-451-m@x.test",
                                                   "maxfails")
    assert post["code"].startswith("4")
    time.sleep(1)
    assert len(env.hooks(path)) == 1
    log = env.api("GET", "/%s/log" % domain).json()["items"]
    assert sorted(i["hap"] for i in log if i["hap"] in (
        "dropped", "bounced")) == ["dropped"]


def test_406_stops(env):
    path = "/status/406/stops-%d" % os.getpid()
    domain = hooked_domain(env, path, ["drop"])
    send_labelled(env, domain, "bounce-550-4@x.test")
    row = env.wait("the dead letter", lambda: failed(env, domain))[0]
    assert (row["TRIES"], row["LAST ANSWER"]) == ("1", "406 ok")
    assert len(env.hooks(path)) == 1


@pytest.mark.stack(extra="MailgunHookTimeout 5s\n")
def test_hanging_customer(own_env):
    """Hundreds of posts of one customer hang: others do not wait for them, not
    for those to the same host either."""
    env, path = own_env, "/hook/beside"
    account, key = env.new_account()
    hanging = hooked_domain(env, "/hang", ["deliver"], account)
    quick = hooked_domain(env, path, ["deliver"])
    for i in range(6):
        send_labelled(env, hanging, ["h%d-%d@x.test" % (i, k)
                                     for k in range(60)], key)
    env.wait("some of them", lambda: len(env.hooks("/hang")) >= 4)
    took = []
    for i in range(40):  # longer than the time limit
        begun = time.time()
        send_labelled(env, quick, "q%d@x.test" % i)
        env.wait("the post beside", lambda i=i: len(env.hooks(path)) > i, 10)
        took.append(time.time() - begun)
        time.sleep(0.2)
    # most of the time is the delivery's itself
    assert sorted(took)[-1] < 3, took
    assert len(env.hooks("/hang")) < 10
    assert "left alone" in env.log_text("smtpd")


# --- nothing is lost ---

@pytest.mark.stack(extra="MailgunHookRetryDelivered on\n")
def test_nothing_is_lost(own_env):
    """Notifier, all of smtpd, and httpd are killed again and again: each event
    is posted at least once, twice only where the answer was not committed."""
    env, path, count = own_env, "/hook/crash", 60
    env.expect_log("killed by signal 9|exit signal|child pid|lease|lost|"
                   "again|restarted|too late|pid file|master is gone|"
                   "MailgunListen .*Address already in use: waiting")
    domain = hooked_domain(env, path, ["deliver", "bounce", "drop"])
    kills, accepted = [], []

    def kill_notifier():
        for pid in children(env.processes["smtpd"].pid):
            if "notifier" in title(pid):
                os.kill(pid, signal.SIGKILL)
        kills.append(time.time())

    def kill_smtpd():
        process = env.processes["smtpd"]
        os.kill(process.pid, signal.SIGKILL)
        kills.append(time.time())
        process.popen.wait()
        env.start_smtpd()

    def kill_httpd():
        process = env.processes["httpd"]
        pids = [process.pid] + children(process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        process.popen.wait()
        # one that is not quite dead still listens, and resets who came
        env.wait("their end", lambda: not listens(env.api_port))
        env.start_httpd()
    deeds = [kill_notifier, kill_smtpd, kill_notifier, kill_httpd] * 2
    for i in range(count):
        to = "%s-%d@x.test" % (["ok", "bounce-550"][i % 2], i)
        send_labelled(env, domain, to)
        accepted.append(to)
        if i % 8 == 4 and deeds:
            deeds.pop(0)()
            env.http.close()
    want = {("delivered" if to[0] == "o" else kind, to) for to in accepted
            for kind in ("bounced", "dropped")}

    def posts():
        return [((p["fields"]["event"], p["fields"]["recipient"]), p["time"])
                for p in env.hooks(path)]
    env.wait("all posts", lambda: {k for k, _ in posts()} == want, 60)
    env.wait("an empty queue", lambda: not env.queued(), 60)
    last = dict(posts())
    unpaired = [k for k, t in posts() if t != last[k]
                and not any(-0.5 < kill - t < 2 for kill in kills)]
    assert not unpaired
    assert failed(env) == []
    env.ctl("fsck")


# --- where a URL must not lead ---

@pytest.mark.parametrize("url, what", [
    ("http://10.0.0.1/", "10.0.0.1 is a private"),
    ("http://167772161/", "10.0.0.1 is a private"),
    ("http://0xa000001/", "10.0.0.1 is a private"),
    ("http://012.0.0.1/", "10.0.0.1 is a private"),
    ("http://0x0a.1:81/", "10.0.0.1 is a private"),
    ("http://good.test@10.0.0.1/", "10.0.0.1 is a private"),
    ("https://172.16.3.4/", "172.16.3.4 is a private"),
    ("http://0/", "0.0.0.0 is a this network"),
    ("http://169.254.169.254/latest/meta-data/",
     "169.254.169.254 is a link-local"),
    ("http://[::ffff:10.0.0.1]/", "::ffff:10.0.0.1 is a private"),
    ("http://[::ffff:a00:1]/", "::ffff:10.0.0.1 is a private"),
    ("http://[::10.0.0.1]/", "is a not global unicast"),
    ("http://[64:ff9b::10.0.0.1]/", "is a private"),
    ("http://[2002:a00:1::1]/", "is a private"),
    ("http://[fe80::1]/", "fe80::1 is a link-local"),
    ("http://[fd00:ec2::254]/", "fd00:ec2::254 is a unique local"),
    ("http://[::1]:1/", "::1 is a loopback"),
])
def test_refused_addresses(env, url, what):
    domain = env.new_domain()
    env.expect_log("given up: domain %s message .*refused: " % domain)
    env.ctl("domain", "set", domain, "webhook.deliver=" + url)
    send_labelled(env, domain, "ok@x.test", **{"o:testmode": "yes"})
    row = env.wait("the dead letter", lambda: failed(env, domain))[0]
    assert row["LAST ANSWER"].startswith("refused: ")
    assert what in row["LAST ANSWER"]


@pytest.fixture
def by_dns(own_env, tmp_path):
    """A stack that asks a nameserver of ours."""
    with Nameserver(tmp_path) as dns:
        path = own_env.dir + "/etc/mailgun.conf"
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(re.sub(r"MailgunResolver .*",
                           "MailgunResolver 127.0.0.1:%d" % dns.port, text))
        own_env.restart("smtpd")
        # httpd looks once a second for shared state that was made anew
        # (mg_shared.h): until then it does not hear what is changed
        time.sleep(1.1)
        own_env.dns = dns
        yield own_env


@pytest.mark.stack()
def test_names_that_lead_elsewhere(by_dns):
    """Names that only our resolver knows: what they resolve to decides, each
    time anew, and a redirect leads nowhere."""
    env = by_dns
    env.expect_log("given up: domain .*refused: ")
    domain = env.new_domain()

    def post_to(url, n=[0]):
        n[0] += 1
        env.ctl("domain", "set", domain, "webhook.deliver=" + url)
        send_labelled(env, domain, "n%d@x.test" % n[0],
                      **{"o:testmode": "yes"})
        return "n%d@x.test" % n[0]

    def fate(to):
        return env.wait("the dead letter of " + to, lambda: [
            r["LAST ANSWER"] for r in failed(env, domain)
            if r["RECIPIENT"] == to])[0]
    port = env.hook_port
    env.dns.zone(host={
        "private.hook.test": "192.168.7.7", "meta.hook.test":
        "169.254.169.254", "six.hook.test": "::1", "mapped.hook.test":
        "::ffff:10.0.0.1", "rebind.hook.test": "127.0.0.1"})
    for name, what in (("private", "192.168.7.7 is a private"),
                       ("meta", "169.254.169.254 is a link-local"),
                       ("six", "::1 is a loopback"),
                       ("mapped", "10.0.0.1 is a private")):
        to = post_to("http://%s.hook.test:%d/hook/trap" % (name, port))
        assert what in fate(to)
    assert not env.hooks("/hook/trap")
    # allowed at first (MailgunHookAllow), elsewhere when it is asked again
    post_to("http://rebind.hook.test:%d/hook/rebind" % port)
    env.wait_hook(lambda h: True, "/hook/rebind")
    env.dns.zone(host={"rebind.hook.test": "192.168.7.8"})
    env.faults.advance(400)  # what is cached and kept open ages
    to = post_to("http://rebind.hook.test:%d/hook/rebind" % port)
    assert "192.168.7.8 is a private" in fate(to)
    # nobody knows that name
    assert "nobody.hook.test" in fate(post_to("http://nobody.hook.test/"))
    target = "http%3A%2F%2F192.168.7.7%2F"
    to = post_to("http://127.0.0.1:%d/redirect/%s" % (port, target))
    assert fate(to).startswith("302")
