"""GET /<domain>/stats, DELETE /<domain>/tags/<tag>, usage of an account."""
import re
import time
import urllib.parse

import pytest


def send(env, domain, to, key=None, **more):
    r = env.api("POST", "/%s/messages" % domain, key=key, data=dict({
        "from": "Me <me@%s>" % domain, "to": to, "subject": "Hello",
        "text": "x"}, **more))
    assert r.status_code == 200, r.text
    return r.json()["id"].strip("<>")


def stats(env, domain, key=None, **params):
    r = env.api("GET", "/%s/stats" % domain, key=key, params=params)
    assert r.status_code == 200, r.text
    return r.json()


def counts(env, domain, **params):
    """{event: (total, tags)} of all days"""
    found = {}
    for item in stats(env, domain, **params)["items"]:
        total, tags = found.get(item["event"], (0, {}))
        for tag, n in item["tags"].items():
            tags[tag] = tags.get(tag, 0) + n
        found[item["event"]] = (total + item["total_count"], tags)
    return found


def wait_counts(env, domain, wanted):
    env.wait("the numbers", lambda: counts(env, domain) == wanted)


def today(env):
    return time.strftime("%a, %d %b %Y 00:00:00 GMT",
                         time.gmtime(env.faults.now()))


def test_nothing(env):
    assert stats(env, env.new_domain()) == {"total_count": 0, "items": []}


@pytest.mark.both
def test_events_and_tags(env):
    d = env.new_domain()
    days = {today(env)}
    send(env, d, ["a@stats.test", "b@stats.test"],
         **{"o:tag": ["September newsletter", "newsletters"]})
    send(env, d, "c@stats.test", **{"o:tag": "September Newsletter"})
    send(env, d, "bounce-550-stats@stats.test")
    send(env, d, "test@stats.test", **{"o:testmode": "yes", "o:tag": "x"})
    wait_counts(env, d, {
        "sent": (4, {"september_newsletter": 3, "newsletters": 2}),
        "delivered": (3, {"september_newsletter": 3, "newsletters": 2}),
        "bounced": (1, {}), "dropped": (1, {})})
    days.add(today(env))

    reply = stats(env, d)
    assert reply["total_count"] == len(reply["items"])
    for item in reply["items"]:
        assert sorted(item) == ["created_at", "event", "id", "tags",
                                "total_count"]
        assert re.fullmatch(r"[0-9a-f]{24}", item["id"])
        assert item["created_at"] in days
    assert stats(env, d) == reply   # the same ids
    ids = [i["id"] for i in reply["items"]]
    assert len(set(ids)) == len(ids)

    # a filtered total counts what is left
    assert counts(env, d, event="delivered") == {
        "delivered": (3, {"september_newsletter": 3, "newsletters": 2})}
    some = stats(env, d, event=["sent", "bounced", "opened"])
    assert some["total_count"] == len(some["items"])
    assert {i["event"] for i in some["items"]} == {"sent", "bounced"}
    page = stats(env, d, event=["sent", "bounced"], skip=1, limit=1)
    assert page == {"total_count": some["total_count"],
                    "items": some["items"][1:2]}


@pytest.mark.both
def test_a_tag_is_deleted(env):
    d = env.new_domain()
    for tag in ("September newsletter", "two/parts", "keep"):
        send(env, d, "a@stats.test", **{"o:tag": tag})
    wait_counts(env, d, {
        event: (3, {"september_newsletter": 1, "two_parts": 1, "keep": 1})
        for event in ("sent", "delivered")})
    other = env.new_domain()
    r = env.api("DELETE", "/%s/tags/two_parts" % other)
    assert r.status_code == 404
    assert r.json() == {"message": "Tag not found"}
    for tag in ("September newsletter", "two_parts"):  # as given, its slug
        url = "/%s/tags/%s" % (d, urllib.parse.quote(tag))
        r = env.api("DELETE", url)
        assert (r.status_code, r.json()) == (200, {"message": "Tag deleted"})
        assert env.api("DELETE", url).status_code == 404
    assert counts(env, d) == {event: (3, {"keep": 1})
                              for event in ("sent", "delivered")}


@pytest.mark.both
def test_days(own_env):
    env = own_env
    d = env.domain
    send(env, d, "a@stats.test")
    wait_counts(env, d, {"sent": (1, {}), "delivered": (1, {})})
    first = time.strftime("%Y-%m-%d", time.gmtime(env.faults.now()))
    env.faults.advance(2 * 86400)
    send(env, d, ["b@stats.test", "c@stats.test"])
    wait_counts(env, d, {"sent": (3, {}), "delivered": (3, {})})
    items = stats(env, d)["items"]
    assert [(i["event"], i["total_count"]) for i in items] == [
        ("sent", 2), ("delivered", 2), ("sent", 1), ("delivered", 1)]
    assert items[0]["created_at"] != items[2]["created_at"]
    second = time.strftime("%Y-%m-%d", time.gmtime(env.faults.now()))
    for start, n in ((first, 4), (second, 2), (second + "T10:00:00Z", 2),
                     (str(int(env.faults.now())), 2), ("", 4)):
        assert stats(env, d, **{"start-date": start})["total_count"] == n
    # what the keeper folds adds up as before
    env.faults.advance(120)
    time.sleep(1.5)
    assert stats(env, d)["items"] == items
    usage = env.ctl("account", "usage", env.account).splitlines()
    assert [line.split() for line in usage[1:]] == [
        [first, "1", "0", "0", "0"], [second, "2", "0", "0", "0"],
        ["all", "3", "0", "0", "0"]]


@pytest.mark.parametrize("params", [
    {"event": "open"}, {"event": ["sent", "x"]}, {"start-date": "2012-13-01"},
    {"start-date": "soon"}, {"skip": "-1"}, {"limit": "many"}])
def test_bad_parameters(env, params):
    r = env.api("GET", "/%s/stats" % env.domain, params=params)
    assert r.status_code == 400
    assert "parameter" in r.json()["message"]


def test_whose(env):
    account, key = env.new_account()
    for method, path in (("GET", "stats"), ("DELETE", "tags/x")):
        r = env.api(method, "/%s/%s" % (env.domain, path), key=key)
        assert r.status_code == 404
        assert r.json() == {"message": "Domain not found: " + env.domain}
        assert env.api(method, "/%s/%s" % (env.domain, path),
                       key="key-x").status_code == 401


@pytest.mark.both
def test_usage(env):
    account, key = env.new_account()
    d = env.new_domain(account)
    env.ctl("campaign", "add", d, "Spring", "--id", "spring")
    send(env, d, ["a@stats.test", "b@stats.test"], key=key,
         **{"o:campaign": "spring"})
    send(env, d, "c@stats.test", key=key)
    send(env, d, "c@stats.test", key=key, **{"o:testmode": "yes"})
    rows = [line.split()
            for line in env.ctl("account", "usage", account).splitlines()]
    assert rows[-1] == ["all", "3", "2", "0", "0"]
    assert env.ctl("account", "usage", "nobody", check=False).returncode == 1
