"""Every sample of the manual's tracking chapter, as its client puts it on the
wire (Ruby's RestClient, Java's Jersey, PHP's HttpRequest, Python's requests,
C#'s RestSharp, curl): the reply, key by key beside the manual's."""
import base64
import email
import email.policy
import email.utils
import hashlib
import hmac
import http.client
import json
import re
import smtplib
import time
from urllib.parse import quote, quote_plus

import pytest

from test_manual_sending import (TEXT, basic, check, curl, form, php_form, post,
                                 ruby, somebody)

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


@pytest.fixture(scope="module")
def campaign(stack):
    place = Place(stack)
    make_campaign(place, form)
    return place


def counts(place):
    return place.get("campaigns/my_campaign_id")


@pytest.mark.parametrize("write, many, sender", [
    (ruby, False, "Excited User <me@%s>"), (form, True, "Excited User <me@%s>"),
    (php_form, False, "Excited User<Excited User <me@%s>>"),
    (curl, False, "Excited User <me@%s>")])
def test_sending_a_campaign(env, campaign, write, many, sender):
    before = counts(campaign)["submitted_count"]
    people = [somebody() for _ in range(2 if many else 1)]
    sent = post(campaign, "messages", *write(
        basic(campaign, *people, sender=sender)
        + [("o:campaign", "my_campaign_id")]))
    for to in people:
        m = check(campaign, sent, to, ", ".join(people))
        assert m.get_content().rstrip("\r\n") == TEXT
    campaign.wait("the count", lambda: (
        lambda c: c["submitted_count"] == c["delivered_count"] ==
        before + len(people))(counts(campaign)))


def test_a_campaign_named_in_mime(env, campaign):
    """X-Mailgun-Campaign-Id; up to three."""
    for name in "b", "c":
        campaign.env.api("POST", "/%s/campaigns" % campaign.domain,
                         data={"name": name, "id": name})
    to = somebody()
    mime = ("From: me@%s\nSubject: Hello\nX-Mailgun-Campaign-Id: my_campaign_id"
            "\nX-Mailgun-Campaign-Id: b\nX-Mailgun-Campaign-Id: c\n\nx\n"
            % campaign.domain)
    before = counts(campaign)["submitted_count"]
    post(campaign, "messages.mime", *curl([
        ("to", to), ("message", "message.mime", mime.encode())]))
    assert counts(campaign)["submitted_count"] == before + 1
    for name in "b", "c":
        assert campaign.get("campaigns/" + name)["submitted_count"] == 1


DAILY_HOUR = {
    "daily_hour": 13,
    "total": {"unsubscribed": 0, "opened": 0, "delivered": 6, "clicked": 0,
              "bounced": 0, "complained": 0},
    "unique": {"opened": {"recipient": 0},
               "clicked": {"recipient": 0, "link": 0}}}

HISTORY = {
    "timestamp": "Wed, 08 Feb 2012 13:44:02 GMT", "user_vars": {},
    "domain": "mailgunhq.com", "recipient": "roman@mailgunhq.com", "tags": [],
    "event": "delivered"}


@pytest.fixture(scope="module")
def analysed(stack):
    """A campaign: two messages to one, one more to another that bounced."""
    place = Place(stack)
    make_campaign(place, form)
    roman = somebody()
    for to in roman, roman, "bounce-550-roman@api.test":
        post(place, "messages", *form(
            basic(place, to) + [("o:campaign", "my_campaign_id")]))
    place.wait("the counts", lambda: (
        lambda c: (c["delivered_count"], c["bounced_count"]) == (2, 1))(
            counts(place)))
    return place, roman


def hours_about(env):
    """Of the stack's clock; two if the hour has just changed."""
    now = env.faults.now()
    return {time.gmtime(now - 600).tm_hour, time.gmtime(now).tm_hour}


@pytest.mark.parametrize("query", QUERIES)
def test_stats_by_daily_hour(env, analysed, query):
    place, _ = analysed
    reply = place.get("campaigns/my_campaign_id/stats", query([
        ("groupby", "daily_hour"), ("limit", "2")]))
    same_shape(reply, [DAILY_HOUR] * len(reply))
    assert {i["daily_hour"] for i in reply} <= hours_about(env)
    assert len({i["daily_hour"] for i in reply}) == len(reply)
    sums = {event: sum(i["total"][event] for i in reply)
            for event in DAILY_HOUR["total"]}
    assert sums == dict(DAILY_HOUR["total"], delivered=2, bounced=1)
    assert all(i["unique"] == DAILY_HOUR["unique"] for i in reply)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("more", ["", "&limit=2"])   # PHP says it twice
def test_history_of_a_recipient(env, analysed, query, more):
    place, roman = analysed
    reply = place.get("campaigns/my_campaign_id/events", query([
        ("recipient", roman), ("limit", "2")]) + more)
    same_shape(reply, [HISTORY] * 2)
    for item in reply:
        assert dict(item, timestamp="") == dict(
            HISTORY, recipient=roman, domain="api.test", timestamp="")
    at = [email.utils.parsedate_to_datetime(i["timestamp"]) for i in reply]
    assert at[0] >= at[1]
    assert abs(at[0].timestamp() - env.faults.now()) < 600


def test_history_with_an_at_sign(env, analysed):
    """The samples write it as it is, and escaped."""
    place, roman = analysed
    path = "campaigns/my_campaign_id/events"
    assert place.get(path, "recipient=" + roman) == place.get(
        path, "recipient=" + quote(roman, "")) != []


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


# --- opens, clicks, unsubscribes, complaints ---

CHROME = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML,"
          " like Gecko) Chrome/120.0.0.0 Safari/537.36")
URL = "http://mailgun.test/a?b=c"


def fetch(env, url):
    """At the tracking host, as a browser."""
    host, path = re.fullmatch(r"http://([^/]+)(/.*)", url).groups()
    connection = http.client.HTTPConnection("127.0.0.1", env.api_port,
                                            timeout=60)
    connection.request("GET", path, headers={"Host": host,
                                             "User-Agent": CHROME})
    r = connection.getresponse()
    r.read()
    connection.close()
    return r


@pytest.mark.stack(extra="MailgunTrackingForce on\n"
                   "MailgunUnsubscribeConfirm off\n")
def test_posts_of_the_recipients(own_env):
    """Opened, clicked, unsubscribed by the manual's single click, complained:
    fields as in the manual's tables; then the sample of stats with "opened"."""
    env = own_env
    place = Place(env)
    make_campaign(place, form)
    hooked(place, ["open", "click", "unsubscribe", "spam"])
    roman = somebody()
    mime = ("From: Excited User <me@%s>\nTo: %s\nSubject: Hello\n"
            "X-Mailgun-Tag: newsletters\nX-Mailgun-Campaign-Id: my_campaign_id"
            "\nX-Mailgun-Track: yes\n%sContent-Type: text/html\n\n"
            '<body><a href="%s">a</a> <a href="%%unsubscribe_url%%">b</a>'
            "</body>\n" % (place.domain, roman, VARIABLES, URL))
    sent = post(place, "messages.mime", *curl([
        ("to", roman), ("message", "message.mime", mime.encode())]))
    taken = env.wait_mx(roman)[-1]
    raw = env.mx_content(taken)
    html = email.message_from_bytes(
        raw, policy=email.policy.default).get_content()
    click, leave = re.findall('<a href="(.*?)"', html)
    pixel = re.search('<img .*?src="(.*?)"', html).group(1)
    assert fetch(env, pixel).getheader("Content-Type") == "image/png"
    r = fetch(env, click)
    assert (r.status, r.getheader("Location")) == (302, URL)
    assert fetch(env, leave).status == 200
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("", ["fbl@" + place.domain],
                   b"Content-Type: multipart/report; boundary=b; report-type="
                   b"feedback-report\r\n\r\n--b\r\nContent-Type: message/"
                   b"feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n--b"
                   b"\r\nContent-Type: message/rfc822\r\n\r\n" +
                   raw.split(b"X-Envelope-To: ", 1)[1].split(b"\r\n", 1)[1] +
                   b"\r\n--b--\r\n")
    for event in "opened", "clicked", "unsubscribed", "complained":
        hook, = env.wait(event, lambda: posts(place, event))
        check_post(env, hook, event, roman, place.domain, sent)
        fields = hook["fields"]
        assert fields["campaign-id"] == "my_campaign_id"
        assert fields["tag"] == ("*" if event == "unsubscribed"
                                 else "newsletters")
        assert fields.get("url") == (URL if event == "clicked" else None)
        if event != "complained":
            assert fields["client-name"] == "Chrome"
    reply = place.get("stats", "event=sent&event=opened&skip=0&limit=2")
    same_shape(reply, {"total_count": 2, "items": [
        dict(STATS["items"][0], tags={"newsletters": 1}, event=event)
        for event in ("sent", "opened")]})
    assert [i["event"] for i in reply["items"]] == ["sent", "opened"]
