"""Every sample of the manual's tracking chapter, as its client puts it on the
wire (Ruby's RestClient, Java's Jersey, PHP's HttpRequest, Python's requests,
C#'s RestSharp, curl): the reply, key by key beside the manual's."""
import base64
import email.utils
import hashlib
import hmac
import http.client
import json
import re
from urllib.parse import quote_plus

import pytest

from test_manual_sending import (TEXT, basic, curl, form, php_form, post, ruby,
                                 somebody)

pytestmark = pytest.mark.both


# --- how clients ask: the query of a GET ---

def ruby_query(fields):
    """RestClient :params, and CGI::escape over a Multimap."""
    return "&".join("%s=%s" % (k, quote_plus(v)) for k, v in fields)


def jersey_query(fields):
    return "&".join("%s=%s" % (quote_plus(k), quote_plus(v))
                    for k, v in fields)


def php_query(fields):
    """setQueryData() of an array: brackets for what repeats."""
    return php_form(fields)[1].decode()


def curl_query(fields):
    """-G -d: as it stands."""
    return "&".join("%s=%s" % f for f in fields)


QUERIES = [ruby_query, jersey_query, php_query, curl_query]


def ask(env, path, query, key=None):
    connection = http.client.HTTPConnection("127.0.0.1", env.api_port,
                                            timeout=60)
    connection.request("GET", "/v2/%s%s" % (path, "?" + query if query else ""),
                       headers={"Authorization": "Basic " + base64.b64encode(
                           b"api:" + (key or env.key).encode()).decode()})
    r = connection.getresponse()
    text = r.read().decode("ascii")       # all else is escaped
    connection.close()
    assert r.status == 200, text
    assert r.getheader("Content-Type").startswith("application/json")
    return json.loads(text)


# --- like the manual's: the same keys, the same kinds of values ---

DATE = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
SHAPES = [DATE, r"[0-9a-f]{24}", r"\d{14}\.\d+\.\d+@[\w.-]+"]


def same_shape(ours, theirs, where="reply"):
    assert type(ours) is type(theirs), where
    if isinstance(theirs, dict):
        assert sorted(ours) == sorted(theirs), where
        for key in theirs:
            same_shape(ours[key], theirs[key], where + "." + key)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs)):
            same_shape(a, b, "%s[%d]" % (where, i))
    elif isinstance(theirs, str):
        for shape in SHAPES:
            if re.fullmatch(shape, theirs):
                assert re.fullmatch(shape, ours), where


class Place:
    """A domain as the manual's samples.mailgun.org: asked by its key."""
    def __init__(self, env):
        self.env, self.domain = env, env.new_domain()
        self.key, self.api_port = env.key, env.api_port
        self.wait_mx, self.mx_content = env.wait_mx, env.mx_content

    def get(self, what, query=""):
        return ask(self.env, "%s/%s" % (self.domain, what), query)

    def wait(self, what, test):
        return self.env.wait(what, test)

    def wait_hap(self, hap, count):
        self.wait("%d %s" % (count, hap), lambda: sum(
            i["hap"] == hap for i in self.get("log", "limit=300")["items"]
        ) >= count)


@pytest.fixture(scope="module")
def place(stack):
    return Place(stack)


# --- logs ---

def log_item(place, name, address, message_id):
    """Of the manual, with our domain: 'Sasha Klizhentas', 'ev'."""
    to = "%s <%s>" % (name, address) if name else address
    return {
        "hap": "delivered",
        "created_at": "Fri, 03 Feb 2012 10:39:50 GMT",
        "message": "Delivered: me@%s \u2192 %s 'Hello'" % (place.domain, to),
        "type": "info",
        "message_id": message_id.strip("<>")}


@pytest.fixture(scope="module")
def logged(stack):
    """A place with a message that was delivered to two."""
    place = Place(stack)
    a, b = somebody(), somebody()
    sent = post(place, "messages", *form(
        basic(place, "Sasha Klizhentas <%s>" % a, b)))
    place.wait_hap("delivered", 2)
    return place, [("Sasha Klizhentas", a), ("", b)], sent


@pytest.mark.parametrize("query", QUERIES)
def test_logs(env, logged, query):
    place, people, sent = logged
    reply = place.get("log", query([("skip", "0"), ("limit", "2")]))
    theirs = {"total_count": 837, "items": [
        log_item(place, name, address, sent) for name, address in people]}
    same_shape(reply, theirs)
    assert reply["total_count"] == 4          # two accepted, two delivered
    ours = sorted(reply["items"], key=lambda i: i["message"])
    for item, sample in zip(ours, sorted(theirs["items"],
                                         key=lambda i: i["message"])):
        assert dict(item, created_at="") == dict(sample, created_at="")
        when = email.utils.parsedate_to_datetime(item["created_at"])
        assert abs(when.timestamp() - env.faults.now()) < 600


@pytest.mark.parametrize("query", QUERIES)
def test_logs_that_skip(env, logged, query):
    place, _, _ = logged
    everything = place.get("log")
    reply = place.get("log", query([("skip", "1"), ("limit", "2")]))
    assert reply == {"total_count": everything["total_count"],
                     "items": everything["items"][1:3]}
    # Java's sample skips more than there are
    assert place.get("log", query([("skip", "50"), ("limit", "1")])) == {
        "total_count": everything["total_count"], "items": []}


# --- stats ---

STATS = {"total_count": 29, "items": [
    {"total_count": 192, "created_at": "Fri, 11 Nov 2011 00:00:00 GMT",
     "tags": {"september_newsletter": 17, "newsletters": 17},
     "id": "4ebd0aa96c5f6b0f93597659", "event": "sent"}]}


@pytest.fixture(scope="module")
def counted(stack):
    """A place with 5 messages that were sent, 3 of them with both tags."""
    place = Place(stack)
    for i in range(5):
        fields = basic(place, somebody())
        if i < 3:
            fields += [("o:tag", "September newsletter"),
                       ("o:tag", "newsletters")]
        post(place, "messages", *ruby(fields))
    place.wait_hap("delivered", 5)
    return place


def php_raw_query(fields):
    """The PHP sample joins it by hand; the same as the others' then."""
    return "&".join("%s=%s" % (quote_plus(k), quote_plus(v))
                    for k, v in fields)


@pytest.mark.parametrize("query", QUERIES + [php_raw_query])
def test_stats(env, counted, query):
    fields = [("event", "sent"), ("event", "opened")]
    reply = counted.get("stats", query(fields + [("skip", "0"),
                                                 ("limit", "2")]))
    days = len(reply["items"])                # 2 about midnight
    same_shape(reply, {"total_count": 29, "items": STATS["items"] * days})
    assert reply["total_count"] == days
    tags = {}
    for item in reply["items"]:
        assert item["event"] == "sent"
        assert item["created_at"].endswith(" 00:00:00 GMT")
        for tag, n in item["tags"].items():
            tags[tag] = tags.get(tag, 0) + n
    assert sum(i["total_count"] for i in reply["items"]) == 5
    assert tags == {"september_newsletter": 3, "newsletters": 3}
    assert counted.get("stats", query(fields + [
        ("skip", str(days)), ("limit", "2")])) == {
            "total_count": days, "items": []}


def test_stats_without_tags(env, place):
    post(place, "messages", *ruby(basic(place, somebody())))
    reply = place.get("stats", "event=sent&limit=1")
    assert reply["items"][0]["tags"] == {}


# --- campaigns ---

CAMPAIGN = {"message": "Campaign created", "campaign": {
    "id": "my_campaign_id", "name": "Newsletter",
    "created_at": "Tue, 14 Feb 2012 00:00:00 GMT", "submitted_count": 0,
    "delivered_count": 0, "opened_count": 0, "clicked_count": 0,
    "unsubscribed_count": 0, "bounced_count": 0, "complained_count": 0,
    "dropped_count": 0}}


def make_campaign(place, write):
    kind, body = write([("name", "Newsletter"), ("id", "my_campaign_id")])
    r = place.env.api("POST", "/%s/campaigns" % place.domain, data=body,
                      headers={"Content-Type": kind})
    assert r.status_code == 200, r.text
    return r.json()


@pytest.mark.parametrize("write", [ruby, form, php_form, curl])
def test_creating_a_campaign(env, write):
    reply = make_campaign(Place(env), write)
    same_shape(reply, CAMPAIGN)
    created = reply["campaign"]["created_at"]
    assert dict(reply["campaign"], created_at="") == dict(
        CAMPAIGN["campaign"], created_at="")
    when = email.utils.parsedate_to_datetime(created).timestamp()
    assert abs(when - env.faults.now()) < 600


# --- webhooks ---

def verify(api_key, token, timestamp, signature):
    """The manual's sample, in today's Python."""
    return signature == hmac.new(
        key=api_key.encode(), msg="{}{}".format(timestamp, token).encode(),
        digestmod=hashlib.sha256).hexdigest()


HEADERS = "message-headers"
SIGNED = {"timestamp", "token", "signature"}
COMMON = {"event", "recipient", "domain"} | SIGNED
# the manual's tables, less what a message without list or campaign has not
FIELDS = {
    "delivered": {HEADERS, "Message-Id"},
    "bounced": {HEADERS, "code", "error", "campaign-id", "tag"},
    "dropped": {HEADERS, "reason", "description"},
    "opened": {"campaign-id", "tag"},
    "clicked": {"campaign-id", "tag", "url"},
    "unsubscribed": {"campaign-id", "tag"},
    "complained": {HEADERS, "campaign-id", "tag"},
}


def check_post(env, hook, event, recipient, domain, sent):
    fields = hook["fields"]
    assert FIELDS[event] | COMMON <= set(fields), event
    assert (fields["event"], fields["recipient"], fields["domain"]) == (
        event, recipient, domain)
    assert re.fullmatch(r"[0-9a-z-]{50}", fields["token"])
    assert re.fullmatch(r"\d{10}", fields["timestamp"])
    assert re.fullmatch(r"[0-9a-f]{64}", fields["signature"])
    assert abs(int(fields["timestamp"]) - env.faults.now()) < 600
    assert verify(env.key, fields["token"], fields["timestamp"],
                  fields["signature"])
    assert not verify(env.key, fields["token"][::-1], fields["timestamp"],
                      fields["signature"])
    # X-Mailgun-Variables of the manual's example, combined
    assert (fields["first_name"], fields["last_name"],
            fields["my_message_id"]) == ("John", "Smith", "123")
    if HEADERS in FIELDS[event]:
        headers = json.loads(fields[HEADERS])
        assert all(len(h) == 2 for h in headers)
        names = [h[0] for h in headers]
        assert names.index("Subject") < names.index("Message-Id")
        assert ["Message-Id", sent] in headers
        assert ["Subject", "Hello"] in headers


VARIABLES = ('X-Mailgun-Variables: {"first_name": "John", "last_name": "Smith"}'
             '\nX-Mailgun-Variables: {"my_message_id": 123}\n')


def send_with_variables(place, to):
    mime = ("From: Excited User <me@%s>\nTo: %s\nSubject: Hello\n"
            "X-Mailgun-Tag: newsletters\nX-Mailgun-Campaign-Id: my_campaign_id"
            "\n%s\n%s\n" % (place.domain, to, VARIABLES, TEXT))
    return post(place, "messages.mime", *curl([
        ("to", to), ("message", "message.mime", mime.encode())]))


def hooked(place, events):
    for event in events:
        place.env.ctl("domain", "set", place.domain, "webhook.%s=%s/%s" % (
            event, place.env.hook_url, place.domain))


def posts(place, event):
    return [h for h in place.env.hooks("/hook/" + place.domain)
            if h["fields"]["event"] == event]


def test_posts_of_the_sender(env):
    """Delivered, bounced, dropped: fields as in the manual's tables."""
    place = Place(env)
    make_campaign(place, form)
    hooked(place, ["deliver", "bounce", "drop"])
    roman, bad = somebody(), "bounce-550-manual@api.test"
    sent = send_with_variables(place, roman)
    hook, = env.wait("delivered", lambda: posts(place, "delivered"))
    check_post(env, hook, "delivered", roman, place.domain, sent)
    assert hook["fields"]["Message-Id"] == sent

    sent = send_with_variables(place, bad)
    hook, = env.wait("bounced", lambda: posts(place, "bounced"))
    check_post(env, hook, "bounced", bad, place.domain, sent)
    assert hook["fields"]["code"].startswith("5")
    assert hook["fields"]["campaign-id"] == "my_campaign_id"
    assert hook["fields"]["tag"] == "newsletters"
    hook, = env.wait("dropped", lambda: posts(place, "dropped"))
    check_post(env, hook, "dropped", bad, place.domain, sent)
    assert hook["fields"]["reason"] == "hardfail"
    assert len(env.hooks("/hook/" + place.domain)) == 3
