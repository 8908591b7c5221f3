"""GET /<domain>/log: order, paging, what an item holds."""
import re
import smtplib

import pytest


def send(env, domain, to, **more):
    r = env.api("POST", "/%s/messages" % domain, data=dict({
        "from": "Me <me@%s>" % domain, "to": to, "subject": "Hello",
        "text": "x", "o:deliverytime": None}, **more))
    assert r.status_code == 200, r.text
    return r.json()["id"].strip("<>")


def log(env, domain, **params):
    r = env.api("GET", "/%s/log" % domain, params=params)
    assert r.status_code == 200, r.text
    return r.json()


def test_empty(env):
    assert log(env, env.new_domain()) == {"total_count": 0, "items": []}


def test_items(env):
    d = env.new_domain()
    a = send(env, d, "Sasha Klizhentas <alex@log.test>")
    accepted = [i for i in log(env, d)["items"] if i["hap"] == "accepted"]
    item = accepted[0]
    assert sorted(item) == ["created_at", "hap", "message", "message_id",
                            "type"]
    assert item["type"] == "info"
    assert item["message_id"] == a
    assert item["message"] == ("Accepted: me@%s \u2192 Sasha Klizhentas "
                               "<alex@log.test> 'Hello'" % d)
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} "
                        r"\d\d:\d\d:\d\d GMT", item["created_at"])
    # outside ASCII is escaped on the wire
    raw = env.api("GET", "/%s/log" % d).text
    assert "\\u2192" in raw and "\u2192" not in raw


def test_delivered_follows(env):
    d = env.new_domain()
    a = send(env, d, "alex@log.test")
    env.wait("delivered", lambda: any(
        i["hap"] == "delivered" and i["message_id"] == a and
        i["message"].startswith("Delivered: me@%s \u2192 alex@log.test" % d)
        for i in log(env, d)["items"]))


def test_paging_newest_first(env):
    d = env.new_domain()
    ids = [send(env, d, "p%d@log.test" % i, **{"o:testmode": "yes"})
           for i in range(6)]
    everything = log(env, d)
    total = everything["total_count"]
    assert total == len(everything["items"]) == 12  # accepted and delivered
    assert [i["message_id"] for i in everything["items"]
            if i["hap"] == "accepted"] == ids[::-1]
    paged = []
    for skip in range(0, total, 5):
        page = log(env, d, skip=skip, limit=5)
        assert page["total_count"] == total
        paged += page["items"]
    assert paged == everything["items"]
    assert log(env, d, skip=2, limit=1)["items"] == everything["items"][2:3]
    assert log(env, d, skip=1000)["items"] == []
    assert log(env, d, skip=10 ** 30)["items"] == []
    assert log(env, d, limit=0)["items"] == []


@pytest.mark.parametrize("params", [
    {"skip": "x"}, {"limit": "x"}, {"skip": "-1"}, {"limit": "-1"},
    {"limit": "1e3"}])
def test_bad_paging(env, params):
    r = env.api("GET", "/%s/log" % env.domain, params=params)
    assert r.status_code == 400
    assert "parameter" in r.json()["message"]


def test_empty_paging_is_the_default(env):
    assert "items" in log(env, env.domain, skip="", limit="")


def test_v3_limit(env):
    import requests
    url = env.api_url[:-2] + "v3/%s/log" % env.domain
    r = requests.get(url, params={"limit": 1001}, auth=("api", env.key))
    assert r.status_code == 400
    assert r.json() == {"message": "The 'limit' parameter can't be larger "
                                   "than 1000"}


@pytest.mark.both
def test_whoever_is_given_up_is_dropped_once(env):
    d = env.new_domain()
    bad = "bounce-550-log@log.test"
    first = send(env, d, bad)
    env.wait("a bounce", lambda: [
        i for i in log(env, d)["items"] if i["hap"] == "dropped"])
    second = send(env, d, bad)      # now it is suppressed

    def lines(message_id):
        return [(i["hap"], i["type"], i["message"])
                for i in log(env, d)["items"][::-1]
                if i["message_id"] == message_id][1:]
    env.wait("a second drop", lambda: lines(second))
    words = "me@%s \u2192 %s 'Hello' " % (d, bad)
    assert lines(first) == [
        ("bounced", "error", "Bounced: " + words +
         "Server response: 550 5.1.1 user unknown"),
        ("dropped", "error", "Dropped: " + words +
         "Reason: 550 5.1.1 user unknown")]
    assert lines(second) == [
        ("dropped", "error", "Dropped: " + words +
         "Reason: Not delivering to previously bounced address")]


def words(env, domain):
    """(hap, message), oldest first"""
    return [(i["hap"], i["message"]) for i in log(env, domain)["items"][::-1]]


@pytest.mark.both
def test_incoming(env):
    """Received, routed, put in a mailbox, forwarded by HTTP and SMTP, or not;
    refused."""
    d = env.new_domain()
    url = env.hook_url.rsplit("/", 1)[0]
    env.ctl("mailbox", "add", "box@" + d, "password")
    routes = {"post": url + "/hook/" + d, "gone": url + "/status/406/" + d,
              "mail": "out@log.test", "bad": "bounce-550-in@log.test"}
    for name, target in routes.items():
        env.ctl("route", "add", env.account, "--expression",
                'match_recipient("%s@%s")' % (name, d), "--action",
                'forward("%s")' % target)
    arrow = "al@example.net \u2192 "

    def route(name):
        return ("routed", "Routed: %s%s@%s 'hi' Route: match_recipient"
                "(\"%s@%s\")" % (arrow, name, d, name, d))
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        for name in ("box", "post", "gone", "mail", "bad"):
            s.sendmail("al@example.net", ["%s@%s" % (name, d)],
                       "From: al@example.net\r\nSubject: hi\r\n\r\nx\r\n")
        s.mail("al@example.net")
        assert s.rcpt("nobody@" + d)[0] == 550
    wanted = {
        ("mailbox", "Put in mailbox: %sbox@%s 'hi'" % (arrow, d)),
        route("post"), route("gone"), route("mail"), route("bad"),
        ("forwarded", "Forwarded: %spost@%s 'hi'" % (arrow, d)),
        ("forwarded", "Forwarded: %sout@log.test 'hi'" % arrow),
        ("forwardfail", "Cannot forward: %sbounce-550-in@log.test 'hi' Server "
         "response: 550 5.1.1 user unknown" % arrow),
        ("refused", "Refused: %snobody@%s Reason: 550 5.1.1 Recipient unknown"
         % (arrow, d)),
        *[("received", "Received: %s%s@%s 'hi'" % (arrow, name, d))
          for name in ("box", "post", "gone", "mail", "bad")]}
    env.wait("all of them", lambda: not wanted - set(words(env, d)))
    failed = env.wait("the other failure", lambda: [
        m for hap, m in words(env, d) if hap == "forwardfail" and "gone@" in m])
    assert "406" in failed[0]
    types = {i["hap"]: i["type"] for i in log(env, d)["items"]
             if "Undelivered" not in i["message"]}  # the sender was told
    assert types == {"received": "info", "routed": "info", "mailbox": "info",
                     "forwarded": "info", "forwardfail": "error",
                     "refused": "warn"}
    assert env.api("GET", "/%s/stats" % d).json()["items"] == []
