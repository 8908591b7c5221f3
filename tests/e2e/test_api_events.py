"""GET /<domain>/events: what an item holds, filters, both directions, paging
URLs that can be polled."""
import base64
import re
import threading
import time

import pytest
import requests

PAGING = {"first", "last", "next", "previous"}


def send(env, domain, to, **more):
    r = env.api("POST", "/%s/messages" % domain, data=dict({
        "from": "Me <me@%s>" % domain, "to": to, "subject": "Hello",
        "text": "x", "o:testmode": "yes"}, **more), files=more.pop("files", None))
    assert r.status_code == 200, r.text
    return r.json()["id"].strip("<>")


def get(env, url, status=200, **params):
    r = requests.get(url, params=params, auth=("api", env.key))
    assert r.status_code == status, r.text
    return r.json()


def url_of(env, domain, version="v2"):
    return "%s/%s/%s/events" % (env.api_url[:-3], version, domain)


def events(env, domain, **params):
    return get(env, url_of(env, domain), **params)


def settle(env):
    """What was done so far is shown."""
    env.faults.advance(3)


def names(page):
    return [i["event"] for i in page["items"]]


def recipients(page):
    return [i["recipient"] for i in page["items"]]


@pytest.mark.both
def test_empty(env):
    d = env.new_domain()
    page = events(env, d)
    assert page["items"] == []
    assert set(page["paging"]) == PAGING
    for url in page["paging"].values():
        assert re.fullmatch(re.escape(url_of(env, d)) + "/[A-Za-z0-9_-]+", url)
        assert get(env, url)["items"] == []


@pytest.mark.both
def test_accepted_and_delivered(env):
    d = env.new_domain()
    began = env.faults.now()
    r = env.api("POST", "/%s/messages" % d, data={
        "from": "Me <me@%s>" % d, "to": "Bob <bob@events.test>",
        "cc": "ann@events.test", "subject": "Gr\u00fc\u00dfe", "text": "x",
        "o:tag": ["one", "two"], "v:my-var": '{"a": 1}', "v:plain": "text"},
        files=[("attachment", ("report.pdf", b"x" * 1000, "application/pdf"))])
    assert r.status_code == 200, r.text
    message_id = r.json()["id"].strip("<>")
    env.wait("events", lambda: len(env.faults.advance(3) or events(
        env, d, **{"message-id": message_id})["items"]) == 4)
    items = events(env, d)["items"]
    for item in items:
        assert began <= item["timestamp"] <= env.faults.now()
        assert isinstance(item["timestamp"], float)
        assert re.fullmatch("[A-Za-z0-9_-]{22}", item["id"])
        assert item["log-level"] == "info"
        assert item["tags"] == ["one", "two"]
        assert item["campaigns"] == []
        assert item["user-variables"] == {"my-var": '{"a":1}', "plain": "text"}
        assert item["recipient-domain"] == "events.test"
        assert item["flags"] == {
            "is-authenticated": True, "is-test-mode": False,
            "is-routed": False, "is-system-test": False,
            "is-delayed-bounce": False, "is-big": False}
        message = item["message"]
        assert message["headers"] == {
            "to": "Bob <bob@events.test>", "message-id": message_id,
            "from": "Me <me@%s>" % d, "subject": "Gr\u00fc\u00dfe"}
        assert message["attachments"] == [
            {"filename": "report.pdf", "content-type": "application/pdf",
             "size": 1000}]
        assert sorted(message["recipients"]) == ["ann@events.test",
                                                 "bob@events.test"]
        assert message["size"] > 1000
    accepted = [i for i in items if i["event"] == "accepted" and
                i["recipient"] == "bob@events.test"][0]
    assert accepted["method"] == "http"
    assert accepted["envelope"] == {
        "sender": "me@%s" % d, "transport": "smtp",
        "targets": "bob@events.test"}
    delivered = [i for i in items if i["event"] == "delivered" and
                 i["recipient"] == "bob@events.test"][0]
    status = delivered["delivery-status"]
    assert status["code"] == 250 and status["attempt-no"] == 1
    assert status["description"] == "" and status["message"]
    assert status["mx-host"] and status["tls"] in (True, False)
    assert 0 < status["session-seconds"] < 30
    assert status["utf8"] in (True, False)
    assert "certificate-verified" in status
    assert delivered["envelope"]["sending-ip"]
    assert len({i["id"] for i in items}) == 4
    assert len(events(env, d, attachment="report.pdf")["items"]) == 4
    assert events(env, d, attachment="other.pdf")["items"] == []


def test_attachments_of_mime(env):
    d = env.new_domain()
    mime = ("From: me@%s\r\nTo: bob@events.test\r\nSubject: x\r\n"
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
            "\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: text/csv\r\n"
            "Content-Disposition: attachment; filename=\"a.csv\"\r\n\r\n"
            "1,2\r\n--b--\r\n" % d)
    r = env.api("POST", "/%s/messages.mime" % d, data={
        "to": "bob@events.test", "o:testmode": "yes"},
        files={"message": ("m.mime", mime)})
    assert r.status_code == 200, r.text
    settle(env)
    page = events(env, d, attachment="a.csv", event="accepted")
    assert [i["message"]["attachments"] for i in page["items"]] == [
        [{"filename": "a.csv", "content-type": "text/csv", "size": 3}]]
    assert page["items"][0]["message"]["headers"]["to"] == "bob@events.test"
    assert page["items"][0]["flags"]["is-test-mode"] is True


@pytest.mark.both
def test_failures(env):
    d = env.new_domain()
    for to in ("bounce-550@events.test", "defer-451-x@events.test"):
        r = env.api("POST", "/%s/messages" % d, data={
            "from": "me@%s" % d, "to": to, "subject": "x", "text": "x"})
        assert r.status_code == 200
    env.wait("failures", lambda: env.faults.advance(3) or len(
        {i["severity"] for i in events(env, d, event="failed")["items"]}) == 2)
    hard = events(env, d, event="failed", severity="permanent")["items"]
    assert len(hard) == 1   # once, though bounced and dropped
    assert hard[0]["log-level"] == "error" and hard[0]["reason"] == "bounce"
    assert hard[0]["recipient"] == "bounce-550@events.test"
    assert hard[0]["delivery-status"]["code"] == 550
    assert "retry-seconds" not in hard[0]["delivery-status"]
    soft = events(env, d, severity="temporary")["items"][0]
    assert soft["log-level"] == "warn" and soft["severity"] == "temporary"
    assert soft["delivery-status"]["retry-seconds"] > 0
    # a suppressed one: our own code and words
    r = env.api("POST", "/%s/messages" % d, data={
        "from": "me@%s" % d, "to": "bounce-550@events.test", "subject": "x",
        "text": "x"})
    env.wait("dropped", lambda: env.faults.advance(3) or len(
        events(env, d, severity="permanent")["items"]) == 2)
    item = events(env, d, severity="permanent")["items"][0]
    assert item["reason"] == "suppress-bounce"
    assert item["delivery-status"]["code"] == 605
    assert item["delivery-status"]["message"] == ""
    assert item["delivery-status"]["description"] == (
        "Not delivering to previously bounced address")


made = {}


@pytest.fixture
def ten(env):
    """Ten test messages, twenty events, made once: (domain, recipients in
    order)."""
    if env.dir not in made:
        d = env.new_domain()
        to = ["r%d@events.test" % i for i in range(10)]
        for n, r in enumerate(to):
            send(env, d, r, subject="Invoice %d%s" % (n, ", paid" * (n % 2)),
                 **{"o:tag": "odd" if n % 2 else "even"})
            env.faults.advance(0.01)
        settle(env)
        made[env.dir] = d, to
    return made[env.dir]


@pytest.mark.both
@pytest.mark.parametrize("params,want", [
    ({"event": "accepted"}, 10), ({"event": "NOT accepted"}, 10),
    ({"event": "accepted OR delivered"}, 20), ({"event": "opened"}, 0),
    ({"event": "Delivered"}, 10), ({"recipient": "r3@events.test"}, 2),
    ({"recipient": "R3@EVENTS.test"}, 2), ({"recipient": "r3"}, 2),
    ({"recipient": "events.test", "event": "accepted"}, 10),
    ({"recipients": "r1@events.test OR r2@events.test"}, 4),
    ({"to": "r4@events.test"}, 2), ({"from": "me"}, 20),
    ({"from": "you"}, 0), ({"subject": "invoice -paid"}, 10),
    ({"subject": '"invoice 3"'}, 2), ({"subject": "invoice (1 OR 2)"}, 4),
    ({"tags": "even"}, 10), ({"tags": "even odd"}, 0),
    ({"tags": "-even", "event": "delivered"}, 5),
    ({"size": ">1"}, 20), ({"size": "<2"}, 0), ({"size": ">1 <100000"}, 20),
    ({"attachment": "x"}, 0), ({"attachment": "-x"}, 20),
    ({"list": "x@y.test"}, 0), ({"severity": "permanent"}, 0),
    ({"event": ""}, 20), ({"message-id": "nothing@x"}, 0),
])
def test_filters(env, ten, params, want):
    page = events(env, ten[0], **params)
    assert len(page["items"]) == want
    # a filter stays through the pages
    page = events(env, ten[0], limit=3, **params)
    seen = []
    while page["items"]:
        seen += page["items"]
        page = get(env, page["paging"]["next"])
    assert len(seen) == want == len({i["id"] for i in seen})


def test_bad_parameters(env):
    d = env.domain
    for params, words in (
            ({"event": "("}, "'event' parameter is no filter: a word is"),
            ({"subject": '"x'}, "a quote is not closed"),
            ({"size": "big"}, "a number is missing"),
            ({"size": ">" * 2000}, "longer than 1024"),
            ({"begin": "yesterday"}, "'begin' parameter is not a valid date"),
            ({"end": "32 Foo 2011"}, "'end' parameter is not a valid date"),
            ({"begin": "-5"}, "'begin' parameter"),
            ({"limit": "0"}, "'limit' parameter is not a valid number"),
            ({"limit": "x"}, "'limit' parameter is not a valid number"),
            ({"ascending": "up"}, "'ascending' parameter is neither"),
            ({"pretty": "very"}, "'pretty' parameter is neither"),
            ({"begin": 1, "end": 2, "ascending": "no"},
             "'ascending' is no, but 'end' is later than 'begin'"),
            ({"begin": 2, "end": 1, "ascending": "yes"},
             "'ascending' is yes, but 'end' is earlier than 'begin'")):
        r = env.api("GET", "/%s/events" % d, params=params)
        assert r.status_code == 400, params
        assert words in r.json()["message"]
    r = requests.get(url_of(env, d, "v3"), params={"limit": 301},
                     auth=("api", env.key))
    assert r.status_code == 400
    assert r.json()["message"] == ("The 'limit' parameter can't be larger "
                                   "than 300")
    assert len(get(env, url_of(env, d), limit=1000)["paging"]) == 4


def test_bad_tokens(env):
    d = env.domain
    token = events(env, d)["paging"]["next"].rsplit("/", 1)[1]
    payload = base64.urlsafe_b64decode(token + "===")[6:]
    others = ["x", "A" * 40, token[:-1], token[:20], token + "A", token[::-1],
              base64.urlsafe_b64encode(b"123456" + payload).decode().strip("="),
              "%00", "%FF%FE", token.replace(token[10], "!"), "A" * 5000]
    for other in others:
        r = env.api("GET", "/%s/events/%s" % (d, other))
        assert r.status_code in (400, 404, 414), other
        if r.status_code == 400:
            assert "is no page of events" in r.json()["message"]
    assert env.api("GET", "/%s/events/%s" % (d, token)).status_code == 200
    # a token opens nothing: keys and domains are looked at as ever
    assert requests.get(url_of(env, d) + "/" + token).status_code == 401
    assert env.api("GET", "/nobody.test/events/" + token).status_code == 404


@pytest.mark.both
def test_directions(env, ten):
    d, to = ten
    all_down = events(env, d, event="accepted")
    assert recipients(all_down) == to[::-1]
    first = all_down["items"][-1]["timestamp"]
    last = all_down["items"][0]["timestamp"]
    up = events(env, d, event="accepted", begin=first - 1, ascending="yes")
    assert recipients(up) == to
    for params, want in (
            ({"begin": first - 1, "end": last + 1}, to),
            ({"begin": last + 1, "end": first - 1}, to[::-1]),
            ({"begin": last + 1, "end": first - 1, "ascending": "no"},
             to[::-1]),
            ({"begin": first - 1}, []), ({"end": last + 1}, []),
            ({"end": first - 1}, to[::-1]), ({"ascending": "yes"}, []),
            ({"begin": first, "end": first}, to[:1]),
            ({"begin": "Thu, 13 Oct 2011 18:02:00 GMT", "end": last + 1},
             to)):
        page = events(env, d, event="accepted", **params)
        if params == {"end": last + 1}:   # from now on: the same or later
            assert recipients(page) in ([], to[-1:])
        elif "begin" in params and params["begin"] == first == params["end"]:
            assert recipients(page)[:1] == want
        else:
            assert recipients(page) == want, params


@pytest.mark.both
@pytest.mark.parametrize("params", [{"begin": 1, "ascending": "yes"}, {},
                                    {"begin": 1, "end": 2 ** 32}])
def test_paging_there_and_back(env, ten, params):
    d, to = ten
    whole = [i["id"] for i in events(env, d, limit=100, **params)["items"]]
    assert len(whole) == 20
    page = events(env, d, limit=7, **params)
    first, seen, pages = page, [], []
    while page["items"]:
        pages.append([i["id"] for i in page["items"]])
        seen += pages[-1]
        page = get(env, page["paging"]["next"])
    assert seen == whole and [len(p) for p in pages] == [7, 7, 6]
    # past the end: empty, and next stays
    again = get(env, page["paging"]["next"])
    assert again["items"] == []
    assert again["paging"]["next"] == page["paging"]["next"]
    # and back, page by page from the end
    back = []
    page = get(env, page["paging"]["previous"])
    while page["items"]:
        back = [i["id"] for i in page["items"]] + back
        page = get(env, page["paging"]["previous"])
    assert back == whole
    assert [i["id"] for i in get(env, page["paging"]["first"])["items"]] == \
        pages[0]
    page = get(env, first["paging"]["last"])
    assert [i["id"] for i in page["items"]] == whole[-7:]
    assert get(env, page["paging"]["next"])["items"] == []
    assert [i["id"] for i in get(env, page["paging"]["previous"])["items"]] \
        == whole[-14:-7]


def test_pretty_and_urls(env, ten):
    d = ten[0]
    r = env.api("GET", "/%s/events" % d, params={"limit": 1})
    assert r.text.startswith('{\n  "')
    r = env.api("GET", "/%s/events" % d, params={"limit": 1, "pretty": "no"})
    assert "\n" not in r.text and r.headers["Content-Type"].startswith(
        "application/json")
    assert "\n" not in requests.get(r.json()["paging"]["next"],
                                    auth=("api", env.key)).text
    # the host the client called
    port = env.api_url.split(":")[2].split("/")[0]
    r = requests.get(url_of(env, d), auth=("api", env.key),
                     headers={"Host": "api.example.test:" + port})
    assert r.json()["paging"]["first"].startswith(
        "http://api.example.test:%s/v2/%s/events/" % (port, d))
    assert get(env, url_of(env, d, "v3"))["paging"]["next"].startswith(
        url_of(env, d, "v3"))


@pytest.mark.both
def test_poller_misses_none_and_sees_none_twice(env):
    """Four writers at a time; the clock goes on, so that what they wrote is
    shown to the poller while they write."""
    d = env.new_domain()
    page = events(env, d, begin=env.faults.now() - 60, ascending="yes")
    failures, each = [], 30

    def write(k):
        try:
            for i in range(each):
                send(env, d, "w%d-%d@events.test" % (k, i))
        except Exception as e:
            failures.append(e)

    writers = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for w in writers:
        w.start()
    seen, idle = [], 0
    while idle < 2:
        alive = any(w.is_alive() for w in writers)
        env.faults.advance(1)
        page = get(env, page["paging"]["next"])
        seen += page["items"]
        if not alive:
            env.faults.advance(3)
            idle += not page["items"]
        time.sleep(0.01)
    for w in writers:
        w.join()
    assert not failures
    ids = [i["id"] for i in seen]
    assert len(ids) == len(set(ids)) == 2 * 4 * each
    assert sorted(i["recipient"] for i in seen if i["event"] == "accepted") == \
        sorted("w%d-%d@events.test" % (k, i)
               for k in range(4) for i in range(each))


def test_of_another_account(env):
    account, key = env.new_account()
    r = env.api("GET", "/%s/events" % env.domain, key=key)
    assert r.status_code == 404


@pytest.mark.both
def test_old_events_expire(own_env):
    """The keeper forgets them; log, total and events agree."""
    env, d = own_env, own_env.domain
    for i in range(5):
        send(env, d, "old%d@events.test" % i)
    env.faults.advance(181 * 86400)
    send(env, d, "new@events.test")
    settle(env)
    env.wait("expiry", lambda: env.faults.advance(61) or env.api(
        "GET", "/%s/log" % d).json()["total_count"] == 2)
    assert len(env.api("GET", "/%s/log" % d).json()["items"]) == 2
    page = events(env, d, begin=1, ascending="yes")
    assert recipients(page) == ["new@events.test"] * 2
    assert "WRONG" not in env.ctl("fsck")
