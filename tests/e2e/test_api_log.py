"""GET /<domain>/log: order, paging, what an item holds."""
import re

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
