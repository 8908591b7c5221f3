"""/<domain>/campaigns: the manual's calls, errors, what is counted."""
import re

import pytest

COUNTS = ["submitted", "delivered", "opened", "clicked", "unsubscribed",
          "bounced", "complained", "dropped"]
KEYS = sorted(["id", "name", "created_at"] + [n + "_count" for n in COUNTS])


@pytest.fixture(scope="module")
def place(stack):
    """A domain of this file's own."""
    return stack.new_domain()


def get(env, path, status=200, **params):
    r = env.api("GET", path, params=params)
    assert r.status_code == status, r.text
    assert r.headers["Content-Type"].startswith("application/json")
    return r.json()


def create(env, d, name="Newsletter", **more):
    return env.api("POST", "/%s/campaigns" % d, data=dict(name=name, **more))


@pytest.mark.both
def test_manual_calls(env, place):
    d = place
    r = env.api("POST", "/%s/campaigns" % d, files=[
        ("name", (None, "Newsletter")), ("id", (None, "my_campaign_id"))])
    assert r.status_code == 200
    reply = r.json()
    assert sorted(reply) == ["campaign", "message"]
    assert reply["message"] == "Campaign created"
    made = reply["campaign"]
    assert sorted(made) == KEYS
    assert (made["id"], made["name"]) == ("my_campaign_id", "Newsletter")
    assert made["created_at"].endswith(" GMT")
    assert all(made[n + "_count"] == 0 for n in COUNTS)

    other = create(env, d, "Another \u20ac").json()["campaign"]
    assert re.fullmatch("[0-9a-f]{24}", other["id"])
    assert get(env, "/%s/campaigns/my_campaign_id" % d) == made
    reply = get(env, "/%s/campaigns" % d)
    assert reply["total_count"] == 2
    assert sorted(reply["items"], key=lambda i: i["name"]) == [other, made]
    page = get(env, "/%s/campaigns" % d, skip=1, limit=1)
    assert page == {"total_count": 2, "items": reply["items"][1:]}

    # form, query; POST as one client did
    for method, where in (("PUT", "data"), ("PUT", "params"),
                          ("POST", "data")):
        r = env.api(method, "/%s/campaigns/my_campaign_id" % d,
                    **{where: {"name": method + where}})
        assert r.json() == {"message": "Campaign updated",
                            "campaign": dict(made, name=method + where)}
    r = env.api("PUT", "/%s/campaigns/my_campaign_id" % d,
                data={"id": "renamed", "name": "N"})
    assert r.json()["campaign"] == dict(made, id="renamed", name="N")
    get(env, "/%s/campaigns/my_campaign_id" % d, 404)

    r = env.api("DELETE", "/%s/campaigns/renamed" % d)
    assert (r.status_code, r.json()) == (
        200, {"message": "Campaign deleted", "id": "renamed"})
    assert get(env, "/%s/campaigns" % d)["items"] == [other]
    assert get(env, "/%s/campaigns/renamed" % d, 404) == {
        "message": "Campaign not found: renamed"}


@pytest.mark.parametrize("data, text", [
    ({}, "Parameter 'name' is missing"),
    ({"id": "x"}, "Parameter 'name' is missing"),
    ({"name": "x" * 65}, "'name' parameter is longer than 64 characters"),
    ({"name": "x", "id": "x" * 65},
     "'id' parameter is longer than 64 characters"),
    ({"name": "x", "id": "\u00e4"},
     "'id' parameter must be pure ASCII, without blanks"),
    ({"name": "a\nb"}, "'name' parameter has control characters"),
    ({"name": "x", "id": "taken"}, "Duplicate object")])
def test_refused(env, place, data, text):
    create(env, place, id="taken")
    r = env.api("POST", "/%s/campaigns" % place, data=data)
    assert (r.status_code, r.json()) == (400, {"message": text})


def test_refused_changes(env, place):
    create(env, place, id="one")
    create(env, place, id="two")
    path = "/%s/campaigns/one" % place
    for data, status, text in (
            ({}, 400, "Parameter 'name' or 'id' is missing"),
            ({"id": "two"}, 400, "Duplicate object"),
            ({"id": "a b"}, 400,
             "'id' parameter must be pure ASCII, without blanks")):
        r = env.api("PUT", path, data=data)
        assert (r.status_code, r.json()) == (status, {"message": text})
    for method in "PUT", "DELETE", "GET":
        r = env.api(method, "/%s/campaigns/none" % place, data={"name": "x"})
        assert (r.status_code, r.json()) == (
            404, {"message": "Campaign not found: none"})


def test_of_this_domain_alone(env, place):
    other = env.new_domain()
    create(env, place, id="mine")
    get(env, "/%s/campaigns/mine" % other, 404)
    assert create(env, other, id="mine").status_code == 200


def test_limit_of_the_account(env):
    account, key = env.new_account()
    d = env.new_domain(account)
    env.ctl("account", "set", account, "campaigns=1")

    def post(name):
        return env.api("POST", "/%s/campaigns" % d, key=key,
                       data={"name": name})
    assert post("a").status_code == 200
    r = post("b")
    assert (r.status_code, r.json()) == (400, {
        "message": "Campaign limit reached: the account can have 1 campaigns."
                   " Delete one to create another."})
    env.ctl("account", "set", account, "campaigns=none")
    assert post("b").status_code == 200


# --- what happens to a campaign's messages ---

STATS = sorted(["unsubscribed", "opened", "delivered", "clicked", "bounced",
                "complained"])
UNIQUE = {"opened": ["recipient"], "clicked": ["link", "recipient"]}
EVENT = sorted(["timestamp", "domain", "recipient", "event", "tags",
                "user_vars"])


def send(env, d, to, **more):
    data = dict({"from": "me@" + d, "to": to, "subject": "Hello",
                 "text": "Testing some awesomeness!"}, **more)
    r = env.api("POST", "/%s/messages" % d, data=data)
    assert r.status_code == 200, r.text


def counts(env, d, campaign):
    reply = get(env, "/%s/campaigns/%s" % (d, campaign))
    return {n: reply[n + "_count"] for n in COUNTS if reply[n + "_count"]}


@pytest.fixture(scope="module")
def sent(stack):
    """A domain with the campaign "one": two delivered, one bounced; "two" has
    one of them."""
    env, d = stack, stack.new_domain()
    create(env, d, id="one")
    create(env, d, id="two")
    send(env, d, "Bob <bob@remote.test>", **{
        "o:campaign": ["one", "two"], "o:tag": ["a", "B c"],
        "v:my": '{"x": 1}'})
    env.wait("the first is delivered",
             lambda: counts(env, d, "one").get("delivered") == 1)
    send(env, d, ["Anna@Remote.test", "bounce-550-x@remote.test"],
         **{"o:campaign": "one"})
    send(env, d, "carl@remote.test")
    env.wait("all is over", lambda: counts(env, d, "one").items() >= {
        "submitted": 3, "delivered": 2, "bounced": 1}.items())
    return d


@pytest.mark.both
def test_counts_and_events(env, sent):
    one = "/%s/campaigns/one" % sent
    assert counts(env, sent, "two") == {"submitted": 1, "delivered": 1}
    events = get(env, one + "/events")
    assert all(sorted(e) == EVENT for e in events)
    assert sorted(e["event"] for e in events) == [
        "bounced", "delivered", "delivered"]
    first = events[-1]              # newest first
    assert (first["recipient"], first["domain"], first["event"]) == (
        "bob@remote.test", "remote.test", "delivered")
    assert (first["tags"], first["user_vars"]) == (
        ["a", "B c"], {"my": {"x": 1}})
    assert first["timestamp"].endswith(" GMT")
    assert events[0]["tags"] == [] and events[0]["user_vars"] == {}

    assert get(env, one + "/events", limit=1, page=3) == [first]
    assert get(env, one + "/events", limit=1, page=4) == []
    assert get(env, one + "/events", limit=0) == []
    assert get(env, one + "/events", count="") == {"count": 3}
    assert get(env, one + "/events", event="delivered", count="yes") == {
        "count": 2}
    assert len(get(env, one + "/events",
                   event=["delivered", "bounced"])) == 3
    assert get(env, one + "/events", event="opened") == []
    assert [e["recipient"] for e in get(env, one + "/events",
                                        recipient="anna@remote.TEST")] == [
        "Anna@remote.test"]
    assert get(env, one + "/events", country="US") == []
    assert len(get(env, one + "/events", page=0, limit=500)) == 3


@pytest.mark.both
def test_stats(env, sent):
    one = "/%s/campaigns/one" % sent
    stats = get(env, one + "/stats")
    assert stats == {
        "total": {"sent": 3, "delivered": 2, "opened": 0, "clicked": 0,
                  "dropped": counts(env, sent, "one").get("dropped", 0),
                  "bounced": 1, "complained": 0,
                  "unsubscribed": 0},
        "unique": {"clicked": {"link": 0, "recipient": 0},
                   "opened": {"recipient": 0}}}
    for by in "domain", "daily_hour", "country", "region", "city":
        groups = get(env, one + "/stats", groupby=by)
        for group in groups:        # as in the manual's sample
            assert sorted(group) == sorted([by, "total", "unique"])
            assert sorted(group["total"]) == STATS
            assert {k: sorted(v) for k, v in group["unique"].items()} == UNIQUE
        assert sum(g["total"]["delivered"] for g in groups) == 2
        assert sum(g["total"]["bounced"] for g in groups) == 1
    assert [g["domain"] for g in get(env, one + "/stats",
                                     groupby="domain")] == ["remote.test"]
    hours = get(env, one + "/stats", groupby="daily_hour", limit=2)
    assert all(0 <= g["daily_hour"] <= 23 for g in hours)


@pytest.mark.parametrize("report, params, text", [
    ("clicks", {}, "Parameter 'groupby' is missing"),
    ("clicks", {"groupby": "colour"},
     "Invalid groupby 'colour'. It can be any of: 'link', 'recipient', "
     "'domain', 'country', 'region', 'city', 'month', 'day', 'hour', "
     "'minute', 'daily_hour'."),
    ("opens", {"groupby": "link"},
     "Invalid groupby 'link'. It can be any of: 'recipient', 'domain', "
     "'country', 'region', 'city', 'month', 'day', 'hour', 'minute', "
     "'daily_hour'."),
    ("unsubscribes", {"groupby": ["domain", "recipient"]},
     "Invalid groupby 'recipient'. It can be any of: 'domain', 'country', "
     "'region', 'city', 'month', 'day', 'hour', 'minute', 'daily_hour'."),
    ("complaints", {"groupby": "city"},
     "Invalid groupby 'city'. It can be any of: 'recipient', 'domain', "
     "'month', 'day', 'hour', 'minute', 'daily_hour'."),
    ("stats", {"groupby": "minute"},
     "Invalid groupby 'minute'. It can be any of: 'domain', 'country', "
     "'region', 'city', 'daily_hour'."),
    ("events", {"event": "dropped"},
     "Invalid event 'dropped'. It can be any of: 'clicked', 'opened', "
     "'unsubscribed', 'bounced', 'complained', 'delivered'."),
    ("events", {"limit": "x"}, "'limit' parameter is not a valid number"),
    ("opens", {"groupby": "domain", "page": -1},
     "'page' parameter is not a valid number")])
def test_reports_refuse(env, sent, report, params, text):
    assert get(env, "/%s/campaigns/one/%s" % (sent, report), 400,
               **params) == {"message": text}
    get(env, "/%s/campaigns/none/%s" % (sent, report), 404, **params)


def test_empty_reports(env, sent):
    for report in "clicks", "opens", "unsubscribes", "complaints":
        path = "/%s/campaigns/two/%s" % (sent, report)
        assert get(env, path, groupby="domain") == []
        assert get(env, path, groupby=["domain", "day"], count="") == {
            "count": 0}


def test_test_mode_and_version_3_are_none_of_it(env, place):
    create(env, place, id="quiet")
    send(env, place, "bob@remote.test", **{"o:campaign": "quiet",
                                           "o:testmode": "yes"})
    assert counts(env, place, "quiet") == {}


@pytest.mark.both
def test_renamed_and_deleted(env):
    """What was sent under the old id stays the campaign's; a new campaign of
    that id begins with nothing, as one does that is made again."""
    d = env.new_domain()
    create(env, d, id="old")
    send(env, d, "bob@remote.test", **{"o:campaign": "old"})
    env.api("PUT", "/%s/campaigns/old" % d, data={"id": "new"})
    create(env, d, id="old")
    send(env, d, "carl@remote.test", **{"o:campaign": "old"})
    env.wait("delivered", lambda: all(
        counts(env, d, i) == {"submitted": 1, "delivered": 1}
        for i in ("old", "new")))
    for campaign, recipient in ("new", "bob"), ("old", "carl"):
        assert [e["recipient"] for e in get(
            env, "/%s/campaigns/%s/events" % (d, campaign))] == [
                recipient + "@remote.test"]
    env.api("DELETE", "/%s/campaigns/old" % d)
    create(env, d, id="old")
    assert counts(env, d, "old") == {}
    assert get(env, "/%s/campaigns/old/events" % d) == []
