"""/routes as the manual has them, and what routes do with incoming mail."""
import email.policy
import json
import re
import smtplib
import subprocess
from email.message import EmailMessage

import pytest

pytestmark = pytest.mark.both

SAMPLE = {"priority": 1, "description": "Sample route",
          "expression": "match_recipient('.*@samples.mailgun.org')",
          "action": ["forward('http://myhost.com/messages/')", "stop()"]}


@pytest.fixture
def account(env):
    """(name, key) of an account with no other routes."""
    return env.new_account()


def routes(env, account, *actions, expression, **more):
    r = env.api("POST", "/routes", key=account[1], data=dict(
        more, expression=expression, action=actions))
    assert r.status_code == 200, r.text
    return r.json()["route"]["id"]


def send(env, recipients, sender="al@example.net", **fields):
    """(code, text) of the end of data, refused recipients by RCPT."""
    m = EmailMessage()
    m["From"] = sender
    for name, value in fields.items():
        m[name.replace("_", "-")] = value
    m.set_content("x\n")
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo()
        s.mail(sender)
        refused = {to: reply for to, reply in
                   ((to, s.rcpt(to)) for to in recipients) if reply[0] != 250}
        if len(refused) == len(recipients):
            return None, refused
        return s.data(m.as_bytes(policy=email.policy.SMTP)), refused


# --- the manual's samples ---

def test_life_of_a_route(env, account):
    name, key = account
    r = env.api("POST", "/routes", key=key, data=SAMPLE)
    assert r.status_code == 200
    assert r.json()["message"] == "Route has been created"
    route = r.json()["route"]
    assert {k: route[k] for k in ("priority", "description", "expression",
                                  "actions")} == {
        "priority": 1, "description": SAMPLE["description"],
        "expression": SAMPLE["expression"], "actions": SAMPLE["action"]}
    assert len(route["id"]) == 24 and route["created_at"].endswith(" GMT")
    path = "/routes/" + route["id"]
    assert env.api("GET", path, key=key).json() == {"route": route}
    assert env.api("GET", "/routes", key=key).json() == {
        "total_count": 1, "items": [route]}
    # others do not see it
    assert env.api("GET", path).status_code == 404
    r = env.api("PUT", path, key=key, data={"priority": 2})
    assert r.json() == dict(route, priority=2,
                            message="Route has been updated")
    r = env.api("DELETE", path, key=key)
    assert r.json() == {"message": "Route has been deleted",
                        "id": route["id"]}
    for method in "GET", "PUT", "DELETE":
        r = env.api(method, path, key=key)
        assert (r.status_code, r.json()) == (
            404, {"message": "Route not found"})


def test_forms_of_clients(env, account):
    """PHP's brackets, multipart, parameters in the query."""
    for kwargs in ({"data": {"expression": "catch_all()",
                             "action[1]": "forward('http://a.test/')",
                             "action[2]": "stop()"}},
                   {"files": [("expression", (None, "catch_all()")),
                              ("action", (None, "forward('http://a.test/')")),
                              ("action", (None, "stop()"))]},
                   {"params": {"expression": "catch_all()", "action": [
                       "forward('http://a.test/')", "stop()"]}}):
        r = env.api("POST", "/routes", key=account[1], **kwargs)
        assert r.status_code == 200, r.text
        assert r.json()["route"]["actions"] == ["forward('http://a.test/')",
                                                "stop()"]
        assert r.json()["route"]["priority"] == 0


def test_order_and_pages(env, account):
    ids = [routes(env, account, "stop()", expression="catch_all()",
                  priority=p) for p in (5, 0, 5, -1)]
    r = env.api("GET", "/routes", key=account[1]).json()
    assert [i["id"] for i in r["items"]] == [ids[3], ids[1], ids[2], ids[0]]
    r = env.api("GET", "/routes", key=account[1], params={"skip": 1,
                                                          "limit": 1}).json()
    assert r["total_count"] == 4
    assert [i["id"] for i in r["items"]] == [ids[1]]


@pytest.mark.parametrize("data, text", [
    ({"action": "stop()"}, "Parameter 'expression' is missing"),
    ({"expression": "catch_all()"}, "Parameter 'action' is missing"),
    ({"expression": "catch_all()", "action": "stop()", "priority": "high"},
     "'priority' parameter is not an integer"),
    ({"expression": "match_recipient('(')", "action": "stop()"},
     "Invalid expression: pattern '(': missing closing parenthesis at "
     "character 1"),
    ({"expression": "match_recipient('a' and catch_all()", "action": "stop()"},
     "Invalid expression: ')' is missing at character 21, 'and catch_all()'"),
    ({"expression": "catch_all()", "action": "forward('nowhere')"},
     "Invalid action: 'nowhere' is neither a URL nor an address"),
    ({"expression": "catch_all()", "action": r"forward('http://a.test/\1')"},
     r"Invalid action: '\1' in 'http://a.test/\1': the filter has no such "
     "group"),
    ({"expression": "match_recipient('(.*)@')",
      "action": r"forward('http://\1/')"},
     r"Invalid action: 'http://\1/': a host cannot be captured"),
])
def test_what_is_refused(env, account, data, text):
    r = env.api("POST", "/routes", key=account[1], data=data)
    assert (r.status_code, r.json()) == (400, {"message": text})
    assert env.api("GET", "/routes", key=account[1]).json()[
        "total_count"] == 0


# --- what would happen ---

def test_what_a_message_would_match(env, account, tmp_path):
    domain = env.new_domain(account[0])
    one = routes(env, account, "stop()", priority=1, expression=(
        "match_recipient('other@') or match_header('Subject', '.*spam')"))
    two = routes(env, account, r"forward('http://a.test/?u=\1')", "stop()",
                 priority=2, expression=(
        "match_recipient('(.*)@%s') and match_header('Subject', 'Gr\u00fc\u00df')"
        % domain))
    routes(env, account, "forward('http://b.test/')", priority=3,
           expression="catch_all()")
    message = ("From: a@b.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
               "\r\nx\r\n")
    for kwargs in ({"files": {"message": ("m.eml", message)},
                    "data": {"recipient": "al+b@" + domain}},
                   {"data": {"recipient": "al+b@" + domain,
                             "message": message}}):
        r = env.api("POST", "/routes/test", key=account[1], **kwargs)
        assert r.status_code == 200, r.text
        found = r.json()["routes"]
        assert [(i["id"], i["matched"], i["stop"], i["actions"])
                for i in found] == [
            (one, False, False, []),
            (two, True, True, ['forward("http://a.test/?u=al%2Bb")'])]
        assert found[0]["decided-by"] == "match_header('Subject', '.*spam')"
    path = str(tmp_path / "m.eml")
    with open(path, "w") as f:
        f.write(message)
    text = env.ctl("routes", "test", account[0], "al+b@" + domain, path)
    assert "+ " + two in text and "- " + one in text
    assert 'forward("http://a.test/?u=al%2Bb")' in text
    assert "1 of 3 routes match" in text
    assert env.api("POST", "/routes/test", key=account[1], data={
        "recipient": "nobody"}).status_code == 400


# --- mail ---

def test_captures_arrive_intact(env, account):
    domain = env.new_domain(account[0])
    path = "/hook/captured-" + domain
    url = env.hook_url.rsplit("/", 1)[0] + path
    routes(env, account, r"forward('%s?mailbox=\1&x=\g<1>')" % url,
           expression=r"match_recipient('(.*)@%s')" % domain)
    reply, _ = send(env, ["a+b&c=d@" + domain], Subject="x")
    assert reply[0] == 250
    env.wait_hook(lambda h: "mailbox=a%2Bb%26c%3Dd&x=a%2Bb%26c" in
                  h["path"], path)


def test_header_routes_are_decided_at_the_end_of_data(env, account):
    domain = env.new_domain(account[0])
    path = "/hook/subject-" + domain
    url = env.hook_url.rsplit("/", 1)[0] + path
    routes(env, account, "forward('%s')" % url, expression=(
        "match_recipient('help@') and match_header('subject', '.*support')"))
    # nothing could want it
    reply, refused = send(env, ["other@" + domain], Subject="support")
    assert reply is None and refused["other@" + domain][0] == 550
    # the header says no: refused, and nothing is kept
    reply, refused = send(env, ["help@" + domain], Subject="hello")
    assert not refused and reply[0] == 550 and b"5.1.1" in reply[1]
    # it says yes; of two recipients one is unwanted
    routes(env, account, "forward('%s')" % url, expression=(
        "match_recipient('both@') and match_header('x-both', 'yes')"))
    reply, refused = send(env, ["help@" + domain, "both@" + domain],
                          Subject="we need support")
    assert not refused and reply[0] == 250

    hook = env.wait_hook(lambda h: True, path)
    assert [h["fields"]["recipient"] for h in hook] == ["help@" + domain]

    def log():
        return sorted((i["hap"], i["message"].split(" \u2192 ")[-1].split("@")
                       [0].split(" ")[-1]) for i in env.api(
            "GET", "/%s/log" % domain, key=account[1]).json()["items"])
    env.wait("the log", lambda: [hap for hap, _ in log()].count("refused")
             == 3)
    assert ("received", "help") in log() and ("received", "both") not in log()
    assert "nothing wrong" in env.ctl("fsck")


def test_one_post_for_each_recipient_and_action(env, account):
    domain = env.new_domain(account[0])
    path = "/hook/each-" + domain
    url = env.hook_url.rsplit("/", 1)[0] + path
    for _ in range(2):      # the same in two routes: two posts
        routes(env, account, "forward('%s, %s/2')" % (url, url),
               expression="match_recipient('.*@%s')" % domain)
    send(env, ["a@" + domain, "b@" + domain], Subject="x")
    env.wait("eight posts", lambda: len(env.hooks(path)) >= 8)
    assert sorted((h["path"][len(path):], h["fields"]["recipient"][0])
                  for h in env.hooks(path)) == sorted(
        [("", "a"), ("/2", "a"), ("", "b"), ("/2", "b")] * 2)
    haps = [i["hap"] for i in env.api("GET", "/%s/log" % domain,
                                      key=account[1]).json()["items"]]
    assert haps.count("routed") == 4 and haps.count("received") == 2


def test_what_outside_says_of_us_is_taken_out(env, account):
    domain = env.new_domain(account[0])
    path = "/hook/forged-" + domain
    url = env.hook_url.rsplit("/", 1)[0] + path
    routes(env, account, "stop()", expression=(
        "match_header('X-Mailgun-SFlag', 'Yes')"), priority=1)
    routes(env, account, "forward('%s')" % url, priority=2,
           expression="match_header('X-Mailgun-Incoming', 'Yes') and "
                      "match_header('X-Envelope-From', '<al@example.net>')")
    reply, _ = send(env, ["a@" + domain], X_Mailgun_SFlag="Yes",
                    X_Envelope_From="<forged@x.test>", Subject="x")
    assert reply[0] == 250
    hook, = env.wait_hook(lambda h: True, path)
    fields = dict(json.loads(hook["fields"]["message-headers"]))
    assert fields["X-Envelope-From"] == "<al@example.net>"
    assert fields["X-Mailgun-Incoming"] == "Yes"
    assert "X-Mailgun-SFlag" not in fields


def test_api_and_login_ask_the_same_routes(env, account):
    """Mail of our own to a domain that is received here."""
    domain = env.new_domain(account[0])
    env.ctl("domain", "set", domain, "local=yes")
    path = "/hook/own-" + domain
    url = env.hook_url.rsplit("/", 1)[0] + path
    routes(env, account, "forward('%s')" % url, expression=(
        "match_header('Subject', 'by (api|smtp)')"))
    r = env.api("POST", "/%s/messages" % domain, key=account[1], data={
        "from": "me@" + domain, "to": "app@" + domain, "subject": "by api",
        "text": "x"})
    assert r.status_code == 200
    subprocess.run([
        "swaks", "--server", "127.0.0.1:%d" % env.submission_port, "--tls",
        "--auth", "PLAIN", "--auth-user", "postmaster@" + domain,
        "--auth-password", "domain-secret", "--from", "me@" + domain, "--to",
        "app@" + domain, "--header", "Subject: by smtp"], check=True,
        stdout=subprocess.DEVNULL)
    env.wait("both posts", lambda: sorted(
        h["fields"]["subject"] for h in env.hooks(path)) == [
            "by api", "by smtp"])


# --- forward() to an address ---

def test_forwarded_sender_and_its_bounce(env, account):
    """A sender of ours goes out; what comes back to it goes to the original."""
    domain = env.new_domain(account[0])
    sender = "al+%s@example.test" % domain.split(".")[0]
    routes(env, account, "forward('on@%s.out.test')" % domain,
           expression="match_recipient('fwd@%s')" % domain)
    reply, _ = send(env, ["fwd@" + domain], sender=sender, Subject="x")
    assert reply[0] == 250
    taken = env.wait_mx("on@%s.out.test" % domain)[0]
    srs = taken["from"]
    assert srs.startswith("SRS0=") and srs.endswith(
        "=example.test=%s@%s" % (sender.split("@")[0], domain))
    # the bounce, by a host that writes local parts in lower case
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("", [srs.lower()], "From: mailer@out.test\r\nSubject: no"
                   "\r\n\r\nnot here\r\n")
        forged = "SRS0=aaaaaaaa" + srs[len("SRS0=aaaaaaaa"):]
        s.ehlo()
        s.mail("")
        assert s.rcpt(forged)[0] == 550
        assert s.rcpt(srs.replace("example.test", "victim.test"))[0] == 550
    back = env.wait_mx(sender)[0]
    assert back["from"] == "<>"
    assert b"not here" in env.mx_content(back)


def test_null_sender_stays(env, account):
    domain = env.new_domain(account[0])
    routes(env, account, "forward('on@%s.out.test')" % domain,
           expression="catch_all()")
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("", ["fwd@" + domain], "Subject: x\r\n\r\nx\r\n")
    assert env.wait_mx("on@%s.out.test" % domain)[0]["from"] == "<>"


def test_a_loop_of_forwards_ends(env, account):
    """One route sends to the other's address, by their MX: here by ourselves."""
    domain = env.new_domain(account[0])
    one, two = "one@" + domain, "two@" + domain
    routes(env, account, "forward('%s')" % two,
           expression="match_recipient('%s')" % one)
    routes(env, account, "forward('%s')" % one,
           expression="match_recipient('%s')" % two)
    reply, _ = send(env, [one], Subject="x")
    assert reply[0] == 250

    def again(to, count):
        """What the sandbox took for an address, handed in as its host would."""
        taken = env.wait_mx(to, count)[count - 1]
        content = env.mx_content(taken)
        while content.startswith(b"X-Envelope-"):
            content = content.split(b"\r\n", 1)[1]
        with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
            s.ehlo()
            s.mail(taken["from"])
            assert s.rcpt(to)[0] == 250
            return s.data(content)
    assert again(two, 1)[0] == 250
    code, text = again(one, 1)
    assert (code, text[:5]) == (554, b"5.4.6"), text


# --- store() ---

def stored(env, account, domain, count=1):
    """The stored events of a domain."""
    def events():
        env.faults.advance(3)
        return [i for i in env.api(
            "GET", "/%s/events" % domain, key=account[1]).json()["items"]
            if i["event"] == "stored"]
    env.wait("stored events", lambda: len(events()) == count)
    return events()


def message_with_file():
    m = EmailMessage()
    m["From"] = "Al \u00dc <al@example.net>"
    m["To"] = "x@y.test"
    m["Subject"] = "Gr\u00fc\u00dfe"
    m["Received"] = "one"
    m["Received"] = "two"
    m.set_content("text\n")
    m.add_alternative("<p>html</p>", subtype="html")
    m.add_attachment(b"\0\1binary", maintype="application", subtype="pdf",
                     filename="a\u00df.pdf", cid="<c1>")
    return m.as_bytes(policy=email.policy.SMTP)


def test_stored_message(env, account):
    domain = env.new_domain(account[0])
    routes(env, account, "store()",
           expression="match_recipient('.*@%s')" % domain)
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("al@example.net", ["keep@" + domain], message_with_file())
    event, = stored(env, account, domain)
    url, key = event["storage"]["url"], event["storage"]["key"]
    assert url.endswith("/v2/domains/%s/messages/%s" % (domain, key))
    path = "/domains/%s/messages/%s" % (domain, key)
    r = env.api("GET", path, key=account[1])
    assert r.status_code == 200, r.text
    m = r.json()
    assert (m["recipients"], m["sender"], m["subject"]) == (
        "keep@" + domain, "al@example.net", "Gr\u00fc\u00dfe")
    assert m["from"] == m["From"] == "Al \u00dc <al@example.net>"
    assert (m["body-plain"].strip(), m["body-html"].strip()) == (
        "text", "<p>html</p>")
    assert m["message-url"] == url
    file, = m["attachments"]
    assert file == {"url": url + "/attachments/0", "size": 8,
                    "name": "a\u00df.pdf", "content-type": "application/pdf"}
    assert m["content-id-map"] == {"<c1>": file}
    assert [["Received", "one"], ["Received", "two"]] == [
        h for h in m["message-headers"] if h[1] in ("one", "two")]
    r = env.api("GET", path + "/attachments/0", key=account[1])
    assert r.content == b"\0\1binary"
    assert r.headers["Content-Type"] == "application/pdf"
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    for n in "1", "-1", "x", "99999999999":
        assert env.api("GET", path + "/attachments/" + n,
                       key=account[1]).status_code == 404
    r = env.api("GET", path, key=account[1],
                headers={"Accept": "message/rfc2822"})
    raw = email.message_from_string(r.json()["body-mime"],
                                    policy=email.policy.default)
    assert raw["Subject"] == "Gr\u00fc\u00dfe"
    assert sorted(r.json()) == ["body-mime", "from", "recipients", "sender",
                                "subject"]
    # another's key finds nothing; it goes when it is deleted
    assert env.api("GET", path).status_code == 404
    assert "nothing wrong" in env.ctl("fsck")
    r = env.api("DELETE", path, key=account[1])
    assert r.json() == {"message": "Message has been deleted"}
    r = env.api("GET", path, key=account[1])
    assert (r.status_code, r.json()) == (404, {"message": "Message not found"})


def test_stored_message_is_told_of(env, account):
    domain = env.new_domain(account[0])
    path = "/hook/notify-" + domain
    routes(env, account, 'store(notify="%s")' % (
        env.hook_url.rsplit("/", 1)[0] + path),
        expression="match_recipient('.*@%s')" % domain)
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("al@example.net", ["keep@" + domain], message_with_file())
    hook, = env.wait_hook(lambda h: True, path)
    f = hook["fields"]
    event, = stored(env, account, domain)
    key = event["storage"]["key"]
    assert f["domain"] == domain and f["recipient"] == "keep@" + domain
    assert f["message-url"].endswith("/v2/domains/%s/messages/%s" % (
        domain, key))
    assert json.loads(f["attachments"]) == [{
        "url": f["message-url"] + "/attachments/0", "size": 8,
        "name": "a\u00df.pdf", "content-type": "application/pdf"}]
    assert f["body-plain"].strip() == "text" and "attachment-1" not in f
    assert len(f["token"]) == 50 and f["signature"]


@pytest.mark.stack(extra="MailgunStoredRetention 1h\n")
def test_stored_message_expires(own_env):
    """It stays while it is kept, and its content goes afterwards."""
    env = own_env
    account = env.new_account()
    domain = env.new_domain(account[0])
    routes(env, account, "store()", expression="catch_all()")
    reply, _ = send(env, ["keep@" + domain], Subject="x")
    assert reply[0] == 250
    event, = stored(env, account, domain)
    path = "/domains/%s/messages/%s" % (domain, event["storage"]["key"])

    def slices():
        return re.search(r"slices of content\s+(\d+)",
                         env.ctl("fsck")).group(1)
    env.faults.advance(3500)
    # the keeper sweeps what is not kept
    env.api("POST", "/%s/messages" % domain, key=account[1], data={
        "from": "me@" + domain, "to": "al@out.test", "text": "x"})
    env.wait_mx("al@out.test")
    env.wait("content that is swept", lambda: slices() == "1")
    assert env.api("GET", path, key=account[1]).status_code == 200
    env.faults.advance(200)
    assert env.api("GET", path, key=account[1]).status_code == 404
    env.wait("content that is swept", lambda: slices() == "0", 90)
    assert "nothing wrong" in env.ctl("fsck")


def test_a_pattern_that_never_ends(env, account):
    env.expect_log("route .*gave up")
    domain = env.new_domain(account[0])
    path = "/hook/slow-" + domain
    url = env.hook_url.rsplit("/", 1)[0] + path
    routes(env, account, "forward('http://never.test/')", priority=1,
           expression="match_header('Subject', '(a|aa)+$')")
    routes(env, account, "forward('%s')" % url, priority=2,
           expression="catch_all()")
    reply, _ = send(env, ["a@" + domain], Subject="a" * 200 + "!")
    assert reply[0] == 250
    env.wait_hook(lambda h: True, path)
