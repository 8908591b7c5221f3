"""The tracking host: the pixel, redirects, the unsubscribe pages, and what is
written of them. Tokens are made by tests/stack/track.py."""
import fcntl
import itertools
import json
import os
import re
import sqlite3
import struct
import threading
import time

import pytest
import requests

from tests.stack import track
from tests.stack.process import children, title, wait_for

pytestmark = pytest.mark.both

CHROME = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML,"
          " like Gecko) Chrome/120.0.0.0 Safari/537.36")
numbers = itertools.count(1)


def sql(env, text):
    """Rows; all columns as text."""
    if env.pg:
        return [line.split("|") for line in env.pg.sql(text).splitlines()]
    with sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % env.dir,
                         uri=True, timeout=30) as db:
        return [["" if c is None else str(c) for c in row]
                for row in db.execute(text)]


class Link:
    """A message of a domain of its own, as its links know it."""

    def __init__(self, env, domain=None, **options):
        self.env = env
        self.domain = domain or env.new_domain()
        self.to = "bob%d@out.test" % next(numbers)
        reply = env.api("POST", "/%s/messages" % self.domain, data=dict(
            {"from": "me@" + self.domain, "to": "Bob <%s>" % self.to,
             "subject": "Hello", "text": "x"}, **options))
        assert reply.status_code == 200, reply.text
        mid = reply.json()["id"].strip("<>")
        row = sql(env, "SELECT domain_id, id FROM message WHERE message_id ="
                       " '%s'" % mid)[0]
        self.domain_id, self.message_id = int(row[0]), int(row[1])

    def path(self, kind, text="", **kwargs):
        return track.path(self.env.dir + "/etc/tracking", kind,
                          self.domain_id, self.message_id, self.to, text,
                          **kwargs)

    def fetch(self, path, method="GET", host=None, agent=CHROME, port=None,
              headers=None, **kwargs):
        sent = {"Host": host or "email." + self.domain, "User-Agent": agent}
        sent.update(headers or {})
        with requests.Session() as http:
            http.trust_env = False
            return http.request(
                method, "http://127.0.0.1:%d%s" % (
                    port or self.env.api_port, path),
                headers={k: v for k, v in sent.items() if v is not None},
                allow_redirects=False, timeout=60, **kwargs)

    def events(self, kind):
        return [json.loads(row[0]) for row in sql(
            self.env, "SELECT detail FROM event WHERE domain_id = %d AND kind"
                      " = '%s' ORDER BY id" % (self.domain_id, kind))]

    def unsubscribes(self):
        return sorted((row[0], row[1]) for row in sql(
            self.env, "SELECT address, tag FROM unsubscribe WHERE domain_id ="
                      " %d" % self.domain_id))


@pytest.fixture
def link(env):
    return Link(env)


def uncached(reply):
    assert "no-store" in reply.headers["Cache-Control"]
    assert "Set-Cookie" not in reply.headers
    return reply


# --- opens and clicks ---

def test_pixel(link):
    reply = uncached(link.fetch(link.path(track.OPEN)))
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "image/png"
    assert reply.content.startswith(b"\x89PNG") and len(reply.content) < 100
    event, = link.events("opened")
    assert event["ip"] == "127.0.0.1" and "machine" not in event
    assert event["client-info"] == {
        "client-type": "browser", "client-name": "Chrome",
        "client-os": "Windows", "device-type": "desktop",
        "user-agent": CHROME}


def test_click_goes_where_the_link_says(link):
    for url, location in (
            ("https://x.test/y?a=b&c=%20d#e", "https://x.test/y?a=b&c=%20d#e"),
            ("http://x.test/a b\"<>", "http://x.test/a%20b%22%3C%3E"),
            ("http://m\u00fcller.test/\u00fc",
             "http://m%C3%BCller.test/%C3%BC")):
        reply = uncached(link.fetch(link.path(track.CLICK, url)))
        assert reply.status_code == 302
        assert reply.headers["Location"] == location
        assert link.events("clicked")[-1]["url"] == url
    # what is added behind the token changes nothing
    path = link.path(track.CLICK, "http://x.test/")
    assert link.fetch(path + "?url=http://evil.test/").headers[
        "Location"] == "http://x.test/"
    assert len(link.events("clicked")) == 4


def test_the_event_has_what_the_message_had(env):
    env_link = Link(env, **{"o:tag": ["one", "two"], "v:id": "4711"})
    env_link.fetch(env_link.path(track.CLICK, "http://x.test/"))
    event, = env_link.events("clicked")
    assert event["tags"] == ["one", "two"]
    lines = env.api("GET", "/%s/log" % env_link.domain).json()["items"]
    line, = [l for l in lines if l["hap"] == "clicked"]
    assert env_link.to in line["message"]


def test_a_domain_with_letters_of_its_own(env):
    """Browsers name its host in ASCII."""
    name = "m\u00fcller-" + env.new_domain()
    env.ctl("domain", "add", name, "--account", env.account, "--password",
            "domain-secret")
    link = Link(env, name)
    host = "email." + name.encode("idna").decode()
    assert host.startswith("email.xn--")
    path = link.path(track.CLICK, "http://x.test/")
    assert link.fetch(path, host=host).status_code == 302
    assert len(link.events("clicked")) == 1
    assert link.fetch(path, host="email." + env.new_domain()
                      ).status_code == 404


@pytest.mark.parametrize("how", ["cut", "longer", "changed", "other letter",
                                 "other host", "other domain", "no host",
                                 "other secret", "nothing", "nonsense",
                                 "padding"])
def test_what_is_not_ours_is_404(env, link, how):
    good = link.path(track.CLICK, "http://x.test/")
    host, path = None, good
    if how == "cut":
        path = good[:-1]
    elif how == "longer":
        path = good + "A"
    elif how == "changed":
        path = good[:40] + ("A" if good[40] != "A" else "B") + good[41:]
    elif how == "other letter":
        path = "/o/" + good[3:]
    elif how == "other host":
        host = "email.example.net"
    elif how == "other domain":
        host = "email." + env.new_domain()
    elif how == "no host":
        host = "127.0.0.1"
    elif how == "other secret":
        path = good.replace("EQ", "EA", 1) if "EQ" in good else "/c/EgE" + "A" * 80
    elif how == "nothing":
        path = "/c/"
    elif how == "nonsense":
        path = "/c/" + "eJxNyMENgCAMAMBV" * 20
    elif how == "padding":
        path = good + "="
    reply = link.fetch(path, host=host)
    assert reply.status_code == 404
    assert "Location" not in reply.headers
    assert link.events("clicked") == []


def test_other_methods(link):
    for kind, allow in ((track.OPEN, ["GET", "HEAD"]),
                        (track.CLICK, ["GET", "HEAD"]),
                        (track.UNSUBSCRIBE, ["GET", "HEAD", "POST"])):
        path = link.path(kind, "http://x.test/" if kind == track.CLICK
                         else "")
        reply = link.fetch(path, "DELETE")
        assert reply.status_code == 405
        assert set(reply.headers["Allow"].replace(" ", "").split(",")) \
            - {"OPTIONS", "TRACE"} == set(allow)
    assert link.fetch(link.path(track.OPEN), "POST").status_code == 405
    assert link.events("opened") == []


def test_other_paths_are_others(link):
    assert link.fetch("/").status_code in (403, 404)
    assert link.fetch("/v2/domains").status_code in (403, 404)
    # and the API's host has no tracking
    assert link.fetch(link.path(track.OPEN), host="localhost").status_code \
        in (403, 404)
    assert link.events("opened") == []


MACHINES = [
    ("HEAD", {}), ("GET", {"Sec-Purpose": "prefetch;prerender"}),
    ("GET", {"Purpose": "prefetch"}), ("GET", {"X-Moz": "prefetch"}),
    ("GET", {"User-Agent": "curl/7.88.1"}), ("GET", {"User-Agent": None}),
    ("GET", {"User-Agent": "Mozilla/5.0"}),
    ("GET", {"User-Agent": "BarracudaCentral/1.0"}),
]


def test_machines_get_the_same_answer_and_are_counted_apart(env, link):
    env.ctl("domain", "set", link.domain, "webhook.click=http://127.0.0.1:%d"
            "/machines" % env.hook_port)
    path = link.path(track.CLICK, "http://x.test/")
    for method, headers in MACHINES:
        reply = link.fetch(path, method, headers=headers)
        assert reply.status_code == 302, headers
        assert reply.headers["Location"] == "http://x.test/"
    events = link.events("clicked")
    assert len(events) == len(MACHINES)
    assert all(e["machine"] for e in events)
    link.fetch(path)
    assert "machine" not in link.events("clicked")[-1]
    counted = dict(sql(env, "SELECT kind, sum(n) FROM stat WHERE domain_id ="
                            " %d AND kind LIKE 'clicked%%' GROUP"
                            " BY kind" % link.domain_id))
    assert counted == {"clicked": "1", "clicked.machine": str(len(MACHINES))}
    # a post for the person, none for the machines
    env.wait_hook(lambda h: True, "/machines")
    time.sleep(0.5)
    assert len(env.hooks("/machines")) == 1


def test_where_from(link):
    link.fetch(link.path(track.OPEN),
               headers={"X-Forwarded-For": "192.0.2.33"})
    event, = link.events("opened")
    assert event["ip"] == "192.0.2.33"
    assert event["geolocation"] == {"country": "US", "region": "CA",
                                    "city": "San Francisco"}
    link.fetch(link.path(track.OPEN),
               headers={"X-Forwarded-For": "2001:db8::9"})
    assert link.events("opened")[-1]["geolocation"]["country"] == "JP"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_https(link):
    with requests.Session() as http:
        http.trust_env = False
        reply = http.get("https://127.0.0.1:%d%s" % (
            link.env.api_tls_port, link.path(track.OPEN)), verify=False,
            headers={"Host": "email." + link.domain, "User-Agent": CHROME})
    assert reply.status_code == 200
    assert len(link.events("opened")) == 1


def test_a_rotated_secret(env, link):
    old = link.path(track.OPEN)
    env.ctl("tracking", "rotate")
    new = link.path(track.OPEN)
    assert old != new
    wait_for("the new secret", lambda: link.fetch(new).status_code == 200)
    assert link.fetch(old).status_code == 200


def test_links_outlive_message_and_domain(env, link):
    """No tags any more, but an event; without the domain no event, but the
    redirect."""
    link.message_id += 1  # one that is not there
    path = link.path(track.CLICK, "http://x.test/")
    assert link.fetch(path).status_code == 302
    assert len(link.events("clicked")) == 1
    env.ctl("domain", "remove", link.domain)
    wait_for("the end of the domain", lambda: link.fetch(
        path, host="email.example.net").status_code == 302)
    assert link.fetch(path).headers["Location"] == "http://x.test/"


# --- unsubscribing ---

def test_the_page_asks_first(link):
    path = link.path(track.UNSUBSCRIBE)
    for _ in range(2):
        page = uncached(link.fetch(path))
        assert page.status_code == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert link.to in page.text and link.domain in page.text
        assert '<form method="post">' in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "width=device-width" in page.text
    assert not re.search(r"<script|<link|<img|src=|href=", page.text)
    assert link.unsubscribes() == [] and link.events("unsubscribed") == []

    done = uncached(link.fetch(path, "POST", data={"action": "unsubscribe"}))
    assert done.status_code == 200 and link.to in done.text
    assert link.unsubscribes() == [(link.to, "*")]
    event, = link.events("unsubscribed")
    assert event["tag"] == "*" and event["ip"] == "127.0.0.1"
    # once is enough
    link.fetch(path, "POST", data={"action": "unsubscribe"})
    assert len(link.events("unsubscribed")) == 1
    assert "Unsubscribed" in link.fetch(path).text
    # and back
    link.fetch(path, "POST", data={"action": "subscribe"})
    assert link.unsubscribes() == []
    assert len(link.events("unsubscribed")) == 1


@pytest.mark.parametrize("how", ["urlencoded", "multipart"])
def test_one_click(link, how):
    """RFC 8058 3.1, 3.2"""
    body = {"List-Unsubscribe": "One-Click"}
    more = {"data": body} if how == "urlencoded" else {
        "files": {k: (None, v) for k, v in body.items()}}
    reply = uncached(link.fetch(link.path(track.UNSUBSCRIBE), "POST",
                                agent="a provider/1.0", **more))
    assert reply.status_code == 200
    assert link.unsubscribes() == [(link.to, "*")]
    event, = link.events("unsubscribed")
    assert "machine" not in event


def test_a_post_that_says_nothing_does_nothing(link):
    path = link.path(track.UNSUBSCRIBE)
    for data in (None, {"x": "y"}, {"action": "delete"}):
        assert link.fetch(path, "POST", data=data).status_code == 200
    assert link.fetch(path, "POST", data="x" * 10000).status_code == 413
    assert link.fetch(path, "POST", data="x", headers={
        "Content-Type": "multipart/form-data"}).status_code == 400
    assert link.unsubscribes() == []


def test_unsubscribing_from_tags(env):
    link = Link(env, **{"o:tag": ["news", "<b>offers</b>"]})
    path = link.path(track.UNSUBSCRIBE_TAGS, "news\n<b>offers</b>")
    page = link.fetch(path).text
    assert "&lt;b&gt;offers" in page and "<b>offers</b>" not in page
    link.fetch(path, "POST", data={"action": "unsubscribe"})
    assert link.unsubscribes() == [(link.to, "<b>offers</b>"),
                                   (link.to, "news")]
    event, = link.events("unsubscribed")
    assert event["tag"] == "news\n<b>offers</b>"


def test_presses_at_once_are_one(link):
    path = link.path(track.UNSUBSCRIBE)
    threads = [threading.Thread(target=link.fetch, args=(path, "POST"),
                                kwargs={"data": {"action": "unsubscribe"}})
               for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(link.events("unsubscribed")) == 1


def test_a_list_that_is_gone(link):
    """Its former members get nothing from it: that is what the page says."""
    path = link.path(track.UNSUBSCRIBE_LIST, "list@" + link.domain)
    page = link.fetch(path)
    assert page.status_code == 200 and "list@" + link.domain in page.text
    assert link.fetch(path, "POST", data={
        "List-Unsubscribe": "One-Click"}).status_code == 200
    assert link.unsubscribes() == [] and link.events("unsubscribed") == []


def test_languages(link):
    path = link.path(track.UNSUBSCRIBE)
    for accept, language in (
            ("de-AT,de;q=0.9,en;q=0.8", "de"), ("fr", "fr"),
            ("en;q=0.1, ja;q=0.5", "ja"), ("zh-CN", "zh"), ("xx, es;q=0", "en"),
            ("tlh, pl", "pl"), (None, "en"), ("", "en"), (";,,;q=x", "en"),
            ("nl;q=1.000,it;q=0.9", "nl")):
        page = link.fetch(path, headers={"Accept-Language": accept})
        assert page.headers["Content-Language"] == language, accept
        assert '<html lang="%s">' % language in page.text
        page.content.decode("utf-8")


def test_a_hostile_address_is_shown_and_no_more(link):
    link.to = "\"<script>alert(1)</script>\"@out.test"
    page = link.fetch(link.path(track.UNSUBSCRIBE)).text
    assert "<script" not in page and "&lt;script&gt;" in page


@pytest.mark.stack(extra="MailgunUnsubscribeConfirm off\n"
                   "MailgunMachineDelay 2s\nMailgunHookMachines on\n"
                   "MailgunTrackingHost links.<domain>",
                   httpd_extra="")
def test_directives(own_env):
    """A single click unsubscribes; a click that comes at once is a machine's;
    another host."""
    env = own_env
    link = Link(env)
    env.ctl("domain", "set", link.domain, "webhook.click=http://127.0.0.1:%d"
            "/machines" % env.hook_port)

    def fetch(path, **kwargs):
        # the vhost of the stack is email.*, which is no host of these links
        return link.fetch(path, **kwargs)

    assert fetch(link.path(track.OPEN)).status_code == 404
    with open(env.dir + "/etc/httpd.conf") as f:
        text = f.read()
    with open(env.dir + "/etc/httpd.conf", "w") as f:
        f.write(text.replace("ServerAlias email.*", "ServerAlias links.*"))
    env.graceful()
    host = "links." + link.domain
    wait_for("the host", lambda: fetch(link.path(track.OPEN),
                                       host=host).status_code == 200)
    env.wait_mx(link.to)
    click = link.path(track.CLICK, "http://x.test/")
    wait_for("its event", lambda: link.events("delivered"))
    fetch(click, host=host)
    assert link.events("clicked")[-1].get("machine") is True
    env.wait_hook(lambda h: True, "/machines")
    env.faults.advance(3)
    fetch(click, host=host)
    assert "machine" not in link.events("clicked")[-1]
    # one that was never delivered
    link.to = "nobody@out.test"
    fetch(link.path(track.CLICK, "http://x.test/"), host=host)
    assert link.events("clicked")[-1].get("machine") is True

    path = link.path(track.UNSUBSCRIBE)
    for method, agent in (("HEAD", CHROME), ("GET", "curl/8.0")):
        assert fetch(path, method=method, agent=agent,
                     host=host).status_code == 200
        assert link.unsubscribes() == []
    page = fetch(path, host=host)
    assert "Unsubscribed" in page.text
    assert link.unsubscribes() == [(link.to, "*")]
    fetch(path, host=host)
    assert len(link.events("unsubscribed")) == 1


# --- the store is away ---

OUTAGE = ("store|journal|cannot|server |postgres|again|failpoint|lost|keeper|"
          "auth|exited|signal|killed|restart")


def journals(env):
    return [n for n in os.listdir(env.dir + "/spool")
            if n.startswith("hits-")]


def keeper(env):
    return next(p for p in children(env.processes["smtpd"].pid)
                if "keeper" in title(p))


@pytest.mark.stack()
def test_another_program_has_the_lock(own_env):
    """SQLite's write lock, for longer than we wait: the redirect comes, and so
    does the event."""
    env = own_env
    if env.pg:
        pytest.skip("SQLite's lock")
    env.expect_log(OUTAGE)
    link = Link(env)
    assert link.fetch(link.path(track.OPEN)).status_code == 200
    with sqlite3.connect(env.dir + "/store/mailgun.db",
                         isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for i in range(3):
            assert link.fetch(link.path(
                track.CLICK, "http://x.test/%d" % i)).status_code == 302
        assert journals(env)
        other.execute("ROLLBACK")
    wait_for("the clicks", lambda: len(link.events("clicked")) == 3)
    wait_for("the end of the journal", lambda: not journals(env))


@pytest.mark.stack()
def test_a_writer_that_stands_still(own_env):
    """One of our own has its turn and does nothing (stopped, or its disk hangs):
    but for the one of each child that stands in line for all, who clicks is
    redirected, and each is one event."""
    env = own_env
    if env.pg:
        pytest.skip("SQLite's line")
    env.expect_log(OUTAGE)
    link = Link(env)
    assert link.fetch(link.path(track.OPEN)).status_code == 200
    n, answers = 40, []

    def click(i):
        answers.append(link.fetch(link.path(
            track.CLICK, "http://x.test/%d" % i)).status_code)

    with open(env.dir + "/store/mailgun.db-turn", "r+b") as turn:
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(turn, fcntl.F_OFD_SETLKW, whole)
        threads = [threading.Thread(target=click, args=(i,))
                   for i in range(n)]
        for t in threads:
            t.start()
        wait_for("most of the redirects", lambda: len(answers) >= n - 4)
        assert journals(env)
    for t in threads:
        t.join()
    assert answers == [302] * n
    wait_for("the clicks", lambda: len(link.events("clicked")) == n)


@pytest.mark.stack()
def test_hits_while_the_store_is_down(own_env):
    """Redirects go on; each hit becomes one event, though the keeper is killed
    while it reads them."""
    env = own_env
    env.expect_log(OUTAGE)
    link = Link(env)
    other = Link(env)
    path = link.path(track.CLICK, "http://x.test/")
    assert link.fetch(path).status_code == 302
    env.faults.set("apache2:store.begin", 5, 0, -1)
    n = 100
    for i in range(n):
        reply = link.fetch(link.path(track.CLICK, "http://x.test/%d" % i),
                           headers={"X-Forwarded-For": "192.0.2.33"})
        assert reply.headers["Location"] == "http://x.test/%d" % i
    assert link.fetch(link.path(track.OPEN)).status_code == 200
    page = link.fetch(link.path(track.UNSUBSCRIBE), "POST",
                      data={"List-Unsubscribe": "One-Click"})
    assert page.status_code == 200
    # a host that could not be checked
    assert other.fetch(other.path(track.CLICK, "http://x.test/"),
                       host="email." + link.domain).status_code in (302, 404)
    at = env.faults.now()
    env.faults.advance(3600)
    # twice before the COMMIT, twice behind it
    env.faults.set("keeper:store.commit.before", 1, 0, 2)
    env.faults.clear("apache2:store.begin")
    wait_for("the hits in the store", lambda: len(
        link.events("clicked")) == n + 1 and not journals(env), 60)
    urls = [e["url"] for e in link.events("clicked")]
    assert sorted(urls) == sorted(["http://x.test/"] + [
        "http://x.test/%d" % i for i in range(n)])
    assert link.events("clicked")[-1]["geolocation"]["country"] == "US"
    assert len(link.events("opened")) == 1
    assert link.unsubscribes() == [(link.to, "*")]
    assert len(link.events("unsubscribed")) == 1
    assert other.events("clicked") == []
    # they happened when they happened
    when = int(sql(env, "SELECT max(created_at) FROM event WHERE kind ="
                        " 'clicked'")[0][0]) / 1e6
    assert when < at + 60
    env.faults.reset_clock()
