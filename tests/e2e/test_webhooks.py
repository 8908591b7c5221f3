"""Webhooks: where they are set, what each kind of event posts, how often, and
that none is lost."""
import hashlib
import hmac
import json
import os
import re

import pytest

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
