"""What is posted to mailing lists: who may, what each member gets, what becomes
of it."""
import email
import email.policy
import imaplib
import re
import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import urlsplit

import pytest

from tests.stack.faults import KILL

DEATHS = "keeper \\d+ .*signal 9"
pytestmark = pytest.mark.both


class List:
    """A list of an account of its own, with tracking and an SMTP login."""

    def __init__(self, env, members=("bob", "cleo"), **fields):
        self.env = env
        self.account, self.key = env.new_account()
        self.domain = env.new_domain(self.account)
        self.address = "dev@" + self.domain
        self.remote = "%s.out" % self.domain
        data = dict(fields, address=self.address)
        self.api("POST", "/lists", data=data)
        for m in members:
            self.add("%s@%s" % (m, self.remote))

    def api(self, method, path, status=200, **kwargs):
        r = self.env.api(method, path, key=self.key, **kwargs)
        assert r.status_code == status, r.text
        return r.json()

    def add(self, address, **fields):
        self.api("POST", "/lists/%s/members" % self.address,
                 data=dict(fields, address=address))

    def member(self, address):
        return self.api("GET", "/lists/%s/members/%s"
                        % (self.address, address))["member"]

    def post(self, **fields):
        data = {"from": "Me <me@%s>" % self.domain, "to": self.address,
                "subject": "Hello", "text": "hello"}
        data.update(fields)
        return self.api("POST", "/%s/messages" % self.domain,
                        data=data)["id"].strip("<>")

    def copies(self, *to):
        """Their first copies, as messages."""
        return [self.copy(t) for t in to]

    def copy(self, to):
        line = self.env.wait_mx(to if "@" in to else "%s@%s"
                                % (to, self.remote))[0]
        return email.message_from_bytes(self.env.mx_content(line),
                                        policy=email.policy.SMTP)

    def events(self, event, n=1):
        def found():
            items = self.env.http.get(
                self.env.api_url.replace("/v2", "/v3") + "/%s/events"
                % self.domain, params={"event": event},
                auth=("api", self.key), timeout=60).json()["items"]
            return items if len(items) >= n else None
        return self.env.wait("%d events %s" % (n, event), found)

    def incoming(self, sender, header_from=None, to=None, **fields):
        """(code, text) of RCPT, or of the end of data."""
        m = EmailMessage()
        m["From"] = header_from or sender
        m["To"] = self.address
        m["Subject"] = "From outside"
        for name, value in fields.items():
            m[name.replace("_", "-")] = value
        m.set_content("outside\n")
        with smtplib.SMTP("127.0.0.1", self.env.smtp_port) as s:
            s.ehlo()
            s.mail(sender)
            code, text = s.rcpt(to or self.address)
            return s.data(m.as_bytes(policy=email.policy.SMTP)) \
                if code == 250 else (code, text)


def unsubscribe_links(m):
    return re.findall(r"<([^>]+)>", m["List-Unsubscribe"])


# --- by API ---

def test_each_member_has_a_copy(env):
    lst = List(env, members=(), name="Développeurs")
    env.ctl("domain", "set", lst.domain, "track_opens=yes")
    lst.add("bob@" + lst.remote, name="Bob Lee", vars='{"age": 26}')
    lst.add("cleo@" + lst.remote, name='Cleo "the" Lee, jr.')
    lst.add("dan@" + lst.remote, subscribed="no")
    message_id = lst.post(
        to=lst.address + ", extra@" + lst.remote, subject="%recipient_fname%",
        html="<p>%recipient.age% <a href='%mailing_list_unsubscribe_url%'>u"
        "</a></p>", text="%recipient%", **{"o:tag": "news"})
    bob, cleo, extra = lst.copies("bob", "cleo", "extra")
    assert (bob["Subject"], cleo["Subject"], extra["Subject"] or "") == (
        "Bob", "Cleo", "")
    assert bob["To"] == "%s, extra@%s" % (lst.address, lst.remote)
    label = lst.address.replace("@", ".")
    for m in bob, cleo:
        assert m["Message-Id"] == "<%s>" % message_id
        assert str(m["List-Id"]) == "Développeurs <%s>" % label
        assert m["List-Post"] == "NO"
        assert m["Precedence"] == "list"
        assert m["X-Mailgun-List-Address"] == lst.address
        assert m["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert len(m.get_all("List-Unsubscribe")) == 1
        assert m["Reply-To"] is None
    assert extra["List-Id"] is None
    text = bob.get_body(("plain",)).get_content()
    assert "Bob Lee <bob@%s>" % lst.remote in text
    assert 'Cleo "the" Lee, jr. <cleo@' in \
        cleo.get_body(("plain",)).get_content()
    html = bob.get_body(("html",)).get_content()
    assert ">26 <a" in html
    assert "%recipient.age%" in cleo.get_body(("html",)).get_content()
    # the list's own link, not the domain's
    in_text = re.search("href=[\"'](http[^\"']+)", html).group(1)
    assert in_text == unsubscribe_links(bob)[0]
    assert not env.mx_messages("dan@" + lst.remote)
    # events name the list
    delivered = lst.events("delivered", 3)
    assert {e["recipient"].split("@")[0]: e.get("mailing-list", {}).get(
        "address") for e in delivered} == {
            "bob": lst.address, "cleo": lst.address, "extra": None}
    assert all(e["tags"] == ["news"] for e in delivered)
    log = lst.api("GET", "/%s/log" % lst.domain)["items"]
    assert [x["message"] for x in log if x["hap"] == "expanded"] == [
        "List expanded: me@%s \u2192 %s '%%recipient_fname%%'"
        % (lst.domain, lst.address)]


def test_unsubscribing_marks_the_member(env):
    lst = List(env, members=("bob", "cleo", "dan"))
    hook = "http://127.0.0.1:%d/hook/%s" % (env.hook_port, lst.domain)
    lst.api("POST", "/domains/%s/webhooks" % lst.domain,
            data={"id": "unsubscribe", "url": hook})
    lst.post()
    bob, cleo = lst.copies("bob", "cleo")
    url, mail = unsubscribe_links(bob)
    link = urlsplit(url)

    def request(method, **kwargs):
        return env.http.request(
            method, "http://127.0.0.1:%d%s" % (env.api_port, link.path),
            headers={"Host": link.netloc}, timeout=60, **kwargs)

    page = request("GET")
    assert page.status_code == 200 and lst.address in page.text
    assert lst.member("bob@" + lst.remote)["subscribed"] is True
    # one click (RFC 8058)
    r = request("POST", data={"List-Unsubscribe": "One-Click"})
    assert r.status_code == 200
    assert lst.member("bob@" + lst.remote)["subscribed"] is False
    event, = lst.events("unsubscribed")
    assert event["mailing-list"]["address"] == lst.address
    post, = env.wait_hook(lambda h: True, "/hook/" + lst.domain)
    assert post["fields"]["mailing-list"] == lst.address
    # the domain may go on writing to him
    assert lst.api("GET", "/%s/unsubscribes" % lst.domain)["total_count"] == 0
    # by mail
    address = unsubscribe_links(cleo)[1][len("mailto:"):]
    assert lst.incoming("cleo@" + lst.remote, to=address)[0] == 250
    env.wait("cleo to be marked", lambda: not lst.member(
        "cleo@" + lst.remote)["subscribed"])
    lst.post(subject="Second")
    env.wait_mx("dan@" + lst.remote, 2)
    for who in "bob", "cleo":
        assert len(env.mx_messages("%s@%s" % (who, lst.remote))) == 1
    # and may be marked again
    lst.api("PUT", "/lists/%s/members/bob@%s" % (lst.address, lst.remote),
            data={"subscribed": "yes"})
    lst.post(subject="Third")
    assert len(env.wait_mx("bob@" + lst.remote, 2)) == 2


def test_own_fields_stay(env):
    lst = List(env, members=("bob",), access_level="everyone")
    lst.post(**{"h:List-Unsubscribe": "<mailto:x@example.net>",
                "h:Reply-To": "me@example.net", "h:Precedence": "bulk"})
    m, = lst.copies("bob")
    assert m.get_all("List-Unsubscribe") == ["<mailto:x@example.net>"]
    assert m.get_all("Reply-To") == ["me@example.net"]
    assert m.get_all("Precedence") == ["bulk"]
    assert m["List-Post"] == "<mailto:%s>" % lst.address


def test_reply_preference(env):
    for fields, want in (({}, None), ({"access_level": "everyone"}, "list"),
                         ({"reply_preference": "list"}, "list"),
                         ({"reply_preference": "sender",
                           "access_level": "members"}, None)):
        lst = List(env, members=("bob",), **fields)
        lst.post()
        m, = lst.copies("bob")
        assert m["Reply-To"] == (lst.address if want else None)


def test_a_member_with_a_mailbox_of_ours(env):
    lst = List(env, members=("bob",))
    box = "al@" + lst.domain
    lst.api("POST", "/%s/mailboxes" % lst.domain,
            data={"mailbox": box, "password": "secret"})
    lst.add(box, vars='{"n": 1}')
    lst.post(subject="n is %recipient.n%")
    lst.copies("bob")

    def first():
        client = imaplib.IMAP4_SSL(
            "127.0.0.1", env.imaps_port,
            ssl_context=ssl._create_unverified_context())
        client.login(box, "secret")
        client.select("INBOX")
        data = client.fetch("1", "(RFC822)")[1]
        client.logout()
        return data[0] and email.message_from_bytes(data[0][1],
                                                    policy=email.policy.SMTP)
    m = env.wait("the copy in the mailbox", first)
    assert m["Subject"] == "n is 1"
    assert m["List-Id"] and m["List-Unsubscribe"] and m["Precedence"] == "list"
    # the events API knows what was sent
    event = [e for e in lst.events("delivered", 2)
             if e["recipient"] == box][0]
    assert event["message"]["headers"]["to"] == lst.address


def test_campaign_and_list_count(env):
    lst = List(env)
    lst.api("POST", "/%s/campaigns" % lst.domain,
            data={"name": "News", "id": "news"})
    lst.post(**{"o:campaign": "news"})
    lst.events("delivered", 2)
    campaign = lst.api("GET", "/%s/campaigns/news" % lst.domain)
    # three were accepted: the list and its members
    assert campaign["delivered_count"] == 2
    assert lst.api("GET", "/lists/%s/stats" % lst.address) == {
        "total": {"complained": 0, "delivered": 2, "clicked": 0, "opened": 0,
                  "unsubscribed": 0, "bounced": 0},
        "unique": {"clicked": {"link": 0, "recipient": 0},
                   "opened": {"recipient": 0}}}


def test_a_bounce_names_the_list(env):
    lst = List(env, members=("bob", "bounce-550"))
    hook = "http://127.0.0.1:%d/hook/%s" % (env.hook_port, lst.domain)
    lst.api("POST", "/domains/%s/webhooks" % lst.domain,
            data={"id": "bounce", "url": hook})
    lst.post()
    lst.copies("bob")
    post, = env.wait_hook(lambda h: True, "/hook/" + lst.domain)
    assert post["fields"]["mailing-list"] == lst.address
    assert post["fields"]["recipient"] == "bounce-550@" + lst.remote
    env.wait("the bounce to be counted", lambda: lst.api(
        "GET", "/lists/%s/stats" % lst.address)["total"]["bounced"] == 1)
    # nobody is told but the customer: no report goes to who posted
    assert lst.api("GET", "/%s/bounces" % lst.domain)["total_count"] == 1


# --- by SMTP ---

def test_by_smtp(env):
    lst = List(env)
    m = EmailMessage()
    m["From"] = "postmaster@" + lst.domain
    m["To"] = lst.address
    m["Subject"] = "Hello %recipient_email%"
    m.set_content("hello\n")
    with smtplib.SMTP("localhost", env.submission_port) as s:
        s.starttls(context=ssl.create_default_context(
            cafile=env.dir + "/etc/cert.pem"))
        s.login("postmaster@" + lst.domain, "domain-secret")
        s.sendmail("postmaster@" + lst.domain, [lst.address],
                   m.as_bytes(policy=email.policy.SMTP))
    bob, cleo = lst.copies("bob", "cleo")
    assert bob["Subject"] == "Hello bob@" + lst.remote
    assert bob["List-Id"] and cleo["List-Id"]


# --- from outside ---

def test_readonly_is_closed(env):
    lst = List(env)
    code, text = lst.incoming("bob@" + lst.remote)
    assert (code, text[:5]) == (550, b"5.1.1")
    assert not env.mx_messages("bob@" + lst.remote)
    # a mailbox there has it, and the list does not
    lst.api("POST", "/%s/mailboxes" % lst.domain,
            data={"mailbox": lst.address, "password": "secret"})
    assert lst.incoming("bob@" + lst.remote)[0] == 250
    assert not env.mx_messages("bob@" + lst.remote)


def test_members_may_post(env):
    lst = List(env, access_level="members", name="Developers")
    lst.add("gone@" + lst.remote, subscribed="no")
    bob = "bob@" + lst.remote
    for sender, header_from in (("eve@" + lst.remote, None),
                                ("eve@" + lst.remote, bob),
                                (bob, "eve@" + lst.remote),
                                ("gone@" + lst.remote, None), ("", bob)):
        code, text = lst.incoming(sender, header_from)
        assert (code, text[:5]) == (550, b"5.1.1"), (sender, header_from)
    assert lst.incoming(bob, "Bob Lee <%s>" % bob, Reply_To="x@example.net",
                        List_Unsubscribe="<http://evil.test/>",
                        Disposition_Notification_To=bob,
                        DKIM_Signature="v=1; d=x")[0] == 250
    m, = lst.copies("cleo")
    # from an address that may sign it
    assert m["From"] == "Bob Lee via Developers <%s>" % lst.address
    assert m.get_all("Reply-To") == [lst.address]
    assert "evil" not in m["List-Unsubscribe"]
    assert m["Disposition-Notification-To"] is None
    assert m["List-Post"] == "<mailto:%s>" % lst.address
    assert len(m.get_all("X-Envelope-From")) == 1  # the MX's own
    assert m["X-Mailgun-Incoming"] is None
    assert m.get_content().rstrip() == "outside"
    line = env.wait_mx("cleo@" + lst.remote)[0]
    assert line["from"].endswith("@" + lst.domain)
    # the author is a member as well
    lst.copies("bob")


def test_everyone_may_post(env):
    lst = List(env, access_level="everyone", reply_preference="sender")
    assert lst.incoming("eve@example.net", "Eve <eve@example.net>",
                        Subject_="x")[0] == 250
    m, = lst.copies("bob")
    assert m["Reply-To"] == "Eve <eve@example.net>"
    # what a list sent is not posted to it again; machines and reports are not
    line = env.wait_mx("bob@" + lst.remote)[0]
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo()
        s.mail("bob@" + lst.remote)
        assert s.rcpt(lst.address)[0] == 250
        assert s.data(env.mx_content(line))[0] == 554
    assert lst.incoming("eve@example.net",
                        Auto_Submitted="auto-replied")[0] == 550
    assert lst.incoming("", "eve@example.net")[0] == 550
    env.wait_mx("cleo@" + lst.remote)
    env.wait("the queue to be empty", lambda: not [
        q for q in env.queued() if lst.domain in q])
    assert len(env.mx_messages("cleo@" + lst.remote)) == 1


def test_list_route_and_mailbox_at_once(env):
    lst = List(env, access_level="everyone")
    path = "/hook/all-%s" % lst.domain
    lst.api("POST", "/%s/mailboxes" % lst.domain,
            data={"mailbox": lst.address, "password": "secret"})
    lst.api("POST", "/routes", data={
        "expression": "match_recipient('%s')" % lst.address,
        "action": "forward('http://127.0.0.1:%d%s')" % (env.hook_port, path)})
    assert lst.incoming("eve@example.net")[0] == 250
    lst.copies("bob", "cleo")
    env.wait_hook(lambda h: True, path)

    def in_mailbox(n):
        return env.wait("%d in the mailbox" % n, lambda: [
            b for b in lst.api("GET", "/%s/mailboxes" % lst.domain)["items"]
            if b["mailbox"] == lst.address and (b["size_bytes"] or 0) > 0])

    in_mailbox(1)
    # what the account sends itself goes the same three ways
    lst.post()
    env.wait_mx("bob@" + lst.remote, 2)
    env.wait("two posts", lambda: len(env.hooks(path)) == 2)


# --- lists of lists, what is gone ---

def test_lists_that_are_members_of_lists(env):
    lst = List(env, members=("bob",))
    other = "other@" + lst.domain
    lst.api("POST", "/lists", data={"address": other})
    lst.add(other)
    lst.api("POST", "/lists/%s/members" % other, data={
        "address": lst.address})
    lst.api("POST", "/lists/%s/members" % other, data={
        "address": "eve@" + lst.remote})
    env.expect_log("list .*%s.* is not expanded: 554 5.4.6" % lst.domain)
    lst.post()
    bob, eve = lst.copies("bob", "eve")
    assert bob["X-Mailgun-List-Address"] == lst.address
    assert eve.get_all("X-Mailgun-List-Address") == [other]
    failed, = lst.events("failed")
    assert failed["recipient"] == lst.address
    assert len(env.mx_messages("bob@" + lst.remote)) == 1
    assert len(env.mx_messages("eve@" + lst.remote)) == 1


def test_fsck(env):
    lst = List(env, members=["m%03d" % i for i in range(450)])
    lst.post()
    env.wait_mx("m449@" + lst.remote)
    env.wait("the queue to be empty", lambda: not [
        q for q in env.queued() if lst.domain in q])
    to = [t for line in env.mx_messages() for t in line["to"]
          if t.endswith("@" + lst.remote)]
    assert sorted(to) == ["m%03d@%s" % (i, lst.remote) for i in range(450)]
    env.ctl("fsck")


def test_an_expansion_survives_kills(own_env):
    """3,000 members; the keeper dies before and after its commits."""
    env = own_env
    lst = List(env, members=())
    lst.api("POST", "/lists/%s/members.csv" % lst.address, files={
        "members": ("m.csv", "".join("m%04d@%s\n" % (i, lst.remote)
                                     for i in range(3000)))})
    env.expect_log(DEATHS)
    for i, point in enumerate(("before", "after") * 4):
        env.faults.set("keeper:store.commit." + point, KILL)
        if i == 0:
            lst.post()
        env.wait("the keeper to die", lambda: env.faults.hits(
            "keeper:store.commit." + point) > 0)
        env.faults.clear()
    env.wait("all copies", lambda: len(
        [m for m in env.mx_messages() if m["to"][0].endswith(lst.remote)])
        >= 3000, 120)
    env.wait("the queue to be empty", lambda: not env.queued())
    to = [t for line in env.mx_messages() for t in line["to"]
          if t.endswith("@" + lst.remote)]
    assert sorted(to) == ["m%04d@%s" % (i, lst.remote) for i in range(3000)]
    env.ctl("fsck")
