"""/<domain>/campaigns: the manual's calls, errors, what is counted."""
import re

import pytest
import requests

from test_tracking_http import CHROME, MACHINES, Link, sql
from tests.stack import track

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
    ("stats", {"groupby": ["domain", "city"]},
     "Only one 'groupby' is possible here"),
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


# --- opens, clicks, unsubscribes, complaints ---

US, JP = "192.0.2.33", "2001:db8::9"    # where they are: MaxMind's test data


class Reader(Link):
    """One who gets a campaign's message, and what he does."""

    def __init__(self, env, domain, to, campaign):
        self.env, self.domain, self.to = env, domain, to
        r = env.api("POST", "/%s/messages" % domain, data={
            "from": "me@" + domain, "to": to, "subject": "Hello", "text": "x",
            "o:campaign": campaign, "o:tag": "t", "v:n": "1"})
        assert r.status_code == 200, r.text
        row = sql(env, "SELECT domain_id, id FROM message WHERE message_id ="
                       " '%s'" % r.json()["id"].strip("<>"))[0]
        self.domain_id, self.message_id = int(row[0]), int(row[1])

    def open(self, where=US):
        assert self.fetch(self.path(track.OPEN), headers={
            "X-Forwarded-For": where}).status_code == 200

    def click(self, url, where=US):
        assert self.fetch(self.path(track.CLICK, url), headers={
            "X-Forwarded-For": where}).status_code == 302


@pytest.fixture(scope="module")
def read(stack):
    """Bob opens twice, clicks a, a, b; Carl opens and clicks b in Japan and
    unsubscribes; machines click. Bob's later message is opened after its
    campaign got another id."""
    env, d = stack, stack.new_domain()
    create(env, d, id="news")
    bob = Reader(env, d, "bob@out.test", "news")
    carl = Reader(env, d, "carl@else.test", "news")
    env.wait("both are delivered",
             lambda: counts(env, d, "news").get("delivered") == 2)
    bob.open()
    for url in "http://x.test/a", "http://x.test/a", "http://x.test/b":
        bob.click(url)
    carl.open(JP)
    carl.click("http://x.test/b", JP)
    for method, headers in MACHINES:
        carl.fetch(carl.path(track.CLICK, "http://x.test/b"), method,
                   headers=headers)
    assert carl.fetch(carl.path(track.UNSUBSCRIBE), "POST", headers={
        "X-Forwarded-For": JP,
        "Content-Type": "application/x-www-form-urlencoded"},
        data="List-Unsubscribe=One-Click").status_code == 200
    env.api("PUT", "/%s/campaigns/news" % d, data={"id": "old-news"})
    bob.open()
    return d


@pytest.mark.both
def test_tracked(env, read):
    news = "/%s/campaigns/old-news" % read
    assert counts(env, read, "old-news") == {
        "submitted": 2, "delivered": 2, "opened": 3, "clicked": 4,
        "unsubscribed": 1}
    stats = get(env, news + "/stats")
    assert stats["unique"] == {"opened": {"recipient": 2},
                               "clicked": {"recipient": 2, "link": 2}}
    assert (stats["total"]["opened"], stats["total"]["clicked"]) == (3, 4)
    assert get(env, news + "/stats", groupby="domain") == [
        {"domain": "out.test",
         "total": {"unsubscribed": 0, "opened": 2, "delivered": 1,
                   "clicked": 3, "bounced": 0, "complained": 0},
         "unique": {"opened": {"recipient": 1},
                    "clicked": {"recipient": 1, "link": 2}}},
        {"domain": "else.test",
         "total": {"unsubscribed": 1, "opened": 1, "delivered": 1,
                   "clicked": 1, "bounced": 0, "complained": 0},
         "unique": {"opened": {"recipient": 1},
                    "clicked": {"recipient": 1, "link": 1}}}]
    assert get(env, news + "/clicks", groupby="link") == [
        {"link": "http://x.test/a", "total": 2,
         "unique": {"recipient": 1, "link": 1}},
        {"link": "http://x.test/b", "total": 2,
         "unique": {"recipient": 2, "link": 1}}]
    assert get(env, news + "/clicks", groupby=["link", "recipient"],
               limit=1, page=2) == [
        {"link": "http://x.test/b", "recipient": "bob@out.test", "total": 1,
         "unique": {"recipient": 1, "link": 1}}]
    assert get(env, news + "/clicks", groupby="link,recipient",
               count="1") == {"count": 3}
    assert get(env, news + "/opens", groupby="recipient") == [
        {"recipient": "bob@out.test", "total": 2, "unique": {"recipient": 1}},
        {"recipient": "carl@else.test", "total": 1,
         "unique": {"recipient": 1}}]
    assert get(env, news + "/opens", groupby=["country", "region", "city"],
               country="us") == [
        {"country": "US", "region": "CA", "city": "San Francisco", "total": 2,
         "unique": {"recipient": 1}}]
    assert [g["country"] for g in get(
        env, news + "/unsubscribes", groupby="country")] == ["JP"]
    assert get(env, news + "/opens", groupby="recipient",
               city="Oslo") == []
    assert get(env, news + "/complaints", groupby="recipient") == []


@pytest.mark.both
def test_tracked_over_time(env, read):
    news = "/%s/campaigns/old-news" % read
    for by, end in (("month", "00:00:00 GMT"), ("day", "00:00:00 GMT"),
                    ("hour", ":00:00 GMT"), ("minute", ":00 GMT")):
        groups = get(env, news + "/clicks", groupby=by)
        assert sum(g["total"] for g in groups) == 4
        assert all(g[by].endswith(end) for g in groups)
    months = get(env, news + "/clicks", groupby="month")
    assert all(g["month"].split()[1] == "01" for g in months)


@pytest.mark.both
def test_tracked_events(env, read):
    news = "/%s/campaigns/old-news" % read
    last, *_, first = get(env, news + "/events",
                          event=["opened", "clicked"])
    assert sorted(last) == sorted(EVENT + [
        "ip", "country", "region", "city", "user_agent"])
    assert (last["event"], last["recipient"], last["tags"],
            last["user_vars"], last["ip"], last["country"], last["region"],
            last["city"], last["user_agent"]) == (
        "opened", "bob@out.test", ["t"], {"n": "1"}, US, "US", "CA",
        "San Francisco", CHROME)
    assert first["event"] == "opened"
    clicks = get(env, news + "/events", event="clicked", country="JP")
    assert [(e["recipient"], e["link"]) for e in clicks] == [
        ("carl@else.test", "http://x.test/b")]
    assert get(env, news + "/events", event="clicked", region="CA",
               count="") == {"count": 3}


@pytest.mark.both
def test_machines_are_counted_apart(env, read):
    news = "/%s/campaigns/old-news" % read
    assert get(env, news + "/events", machine="yes", count="") == {
        "count": len(MACHINES)}
    assert [(e["event"], e["link"]) for e in get(
        env, news + "/events", machine="yes", limit=1)] == [
            ("clicked", "http://x.test/b")]
    assert get(env, news + "/clicks", machine="yes", groupby="recipient") == [
        {"recipient": "carl@else.test", "total": len(MACHINES),
         "unique": {"recipient": 1, "link": 1}}]
    assert get(env, news + "/opens", machine="yes", groupby="domain") == []
    assert "clicked by machines: %d" % len(MACHINES) in env.ctl(
        "campaign", "show", read, "old-news")


@pytest.mark.both
def test_kept_in_segments_and_forgotten(env):
    """A thousand opens become a segment, and nobody sees it; all of them go
    with the campaign."""
    d = env.new_domain()
    create(env, d, id="big")
    bob = Reader(env, d, "bob@out.test", "big")
    path = bob.path(track.OPEN)
    with requests.Session() as http:
        http.trust_env = False
        http.headers = {"Host": "email." + d, "User-Agent": CHROME,
                        "X-Forwarded-For": US}
        for _ in range(1010):
            assert http.get("http://127.0.0.1:%d%s" % (env.api_port, path),
                            timeout=60).status_code == 200
    big = "/%s/campaigns/big" % d
    campaign = sql(env, "SELECT id FROM campaign WHERE domain_id = %d"
                        % bob.domain_id)[0][0]

    def rows(table):
        return int(sql(env, "SELECT COUNT(*) FROM %s WHERE campaign_id = %s"
                            % (table, campaign))[0][0])
    env.wait("the segment", lambda: rows("campaign_segment") == 1)
    assert rows("campaign_event") in (10, 11)     # and that he got it
    assert counts(env, d, "big")["opened"] == 1010
    assert get(env, big + "/opens", groupby=["recipient", "city"]) == [
        {"recipient": "bob@out.test", "city": "San Francisco", "total": 1010,
         "unique": {"recipient": 1}}]
    assert get(env, big + "/events", event="opened", count="") == {
        "count": 1010}
    last = get(env, big + "/events", event="opened", limit=100, page=11)
    assert len(last) == 10 and last[-1]["user_vars"] == {"n": "1"}
    env.api("DELETE", big)
    get(env, big + "/events", 404)
    env.wait("all of it is removed", lambda: not any(map(rows, (
        "campaign_event", "campaign_segment", "campaign_column",
        "campaign_count"))))
