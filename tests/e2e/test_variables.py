"""%variables%: filled in as copies go out, alike for API, MIME and SMTP mail."""
import base64
import email
import email.policy
import imaplib
import json
import smtplib

import pytest

pytestmark = pytest.mark.both

PEOPLE = [("Bob <Builder> Lee", "bob"), ("Jürgen \U0001f389 Groß", "jg"),
          (None, "al")]


def spec(name, local, domain):
    address = "%s@%s.out" % (local, domain)
    if name is None:
        return address
    return '"%s" <%s>' % (name, address)


def variables(domain):
    return {"%s@%s.out" % (local, domain): {
        "id": i, "note": "<script>\r\nX-Evil: %d" % i,
        "again": "%recipient.id%"} for i, (_, local) in enumerate(PEOPLE)}


TEXT = ("Hi %recipient_name%, you are %recipient.id% at %recipient_email%.\r\n"
        "%recipient.note%|%recipient.again%|%recipient.unknown%\r\n")
HTML = "<p>%recipient% %recipient.note%</p><p>Grüße</p>\r\n"


def mime(domain, to="%recipient%"):
    """Parts in base64 and quoted-printable, an attachment."""
    msg = email.message.EmailMessage(policy=email.policy.SMTP)
    msg["From"] = "me@" + domain
    msg["Subject"] = "For %recipient_name%, grüß %recipient.note%"
    msg["X-Id"] = "%recipient.id%"
    msg["X-Mailgun-Variables"] = '{"my": "%recipient.note%"}'
    msg.set_content(TEXT, cte="base64")
    msg.add_alternative(HTML, subtype="html", cte="quoted-printable",
                        charset="iso-8859-1")
    msg.add_attachment("%recipient_name%\r\n", filename="a.txt")
    return ("To: %s\r\n" % to).encode() + bytes(msg)


def content(part):
    return part.get_content().replace("\r\n", "\n")


def copies(env, domain):
    """address -> its copy, as Python's parser reads it."""
    got = {}
    for _, local in PEOPLE:
        line = env.wait_mx("%s@%s.out" % (local, domain))[0]
        assert line["to"] == ["%s@%s.out" % (local, domain)]
        raw = env.mx_content(line)
        assert max(len(x) for x in raw.split(b"\n")) <= 1000
        got[local] = email.message_from_bytes(raw, policy=email.policy.default)
    return got


def check_copies(env, domain, own_to=True):
    for i, (name, local) in enumerate(PEOPLE):
        got = copies(env, domain)[local]
        address = "%s@%s.out" % (local, domain)
        note = "<script>\nX-Evil: %d" % i
        assert got["X-Evil"] is None
        if own_to:
            to = got["To"].addresses
            assert [(a.display_name, a.addr_spec) for a in to] == [
                (name or "", address)]
        assert got["Subject"] == "For %s, grüß <script>  X-Evil: %d" % (
            name or "", i)
        assert got["X-Id"] == str(i)
        assert json.loads(str(got["X-Mailgun-Variables"])) == {
            "my": note.replace("\n", "\r\n")}
        text = got.get_body(("plain",))
        assert content(text) == (
            "Hi %s, you are %d at %s.\n%s|%%recipient.id%%|"
            "%%recipient.unknown%%\n" % (name or "", i, address, note))
        full = "%s <%s>" % (name, address) if name else address
        escaped = full.replace("<", "&lt;").replace(">", "&gt;")
        assert content(got.get_body(("html",))) == (
            "<p>%s &lt;script&gt;\nX-Evil: %d</p><p>Grüße</p>\n" % (
                escaped, i))


def test_api(env):
    domain = env.new_domain()
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain,
        "to": ", ".join(spec(n, l, domain) for n, l in PEOPLE),
        "subject": "For %recipient_name%, grüß %recipient.note%",
        "h:X-Id": "%recipient.id%", "v:my": "%recipient.note%",
        "text": TEXT, "html": HTML,
        "recipient-variables": json.dumps(variables(domain))})
    assert reply.status_code == 200, reply.text
    check_copies(env, domain)
    sids = {m["X-Mailgun-Sid"] for m in copies(env, domain).values()}
    assert len(sids) == 3
    recipients = {json.loads(base64.b64decode(s))[1] for s in sids}
    assert recipients == {"%s@%s.out" % (l, domain) for _, l in PEOPLE}


def test_mime(env):
    domain = env.new_domain()
    reply = env.api("POST", "/%s/messages.mime" % domain, data={
        "to": ", ".join(spec(n, l, domain) for n, l in PEOPLE),
        "recipient-variables": json.dumps(variables(domain))},
        files={"message": ("m.eml", mime(domain))})
    assert reply.status_code == 200, reply.text
    check_copies(env, domain)
    for got in copies(env, domain).values():
        assert [p.get_content().strip() for p in got.iter_attachments()] == [
            "%recipient_name%"]


def test_mime_to_is_the_clients(env):
    """Without %recipient% in it, To stays as it is."""
    domain = env.new_domain()
    reply = env.api("POST", "/%s/messages.mime" % domain, data={
        "to": ", ".join(spec(n, l, domain) for n, l in PEOPLE),
        "recipient-variables": json.dumps(variables(domain))},
        files={"message": ("m.eml", mime(domain, "all@list.test"))})
    assert reply.status_code == 200, reply.text
    check_copies(env, domain, own_to=False)
    assert copies(env, domain)["bob"]["To"] == "all@list.test"


def test_smtp(env):
    """SMTP knows no display names; otherwise the same."""
    domain = env.new_domain(password="pw-of-postmaster")
    content_ = mime(domain).replace(
        b"X-Id:", b"X-Mailgun-Recipient-Variables: %s\r\nX-Id:"
        % json.dumps(variables(domain)).encode(), 1)
    with smtplib.SMTP("127.0.0.1", env.submission_port) as client:
        client.starttls()
        client.login("postmaster@" + domain, "pw-of-postmaster")
        client.sendmail("me@" + domain,
                        ["%s@%s.out" % (l, domain) for _, l in PEOPLE],
                        content_)
    got = copies(env, domain)
    for i, (_, local) in enumerate(PEOPLE):
        address = "%s@%s.out" % (local, domain)
        copy = got[local]
        assert copy["To"] == address
        assert copy["X-Id"] == str(i)
        assert copy["X-Mailgun-Recipient-Variables"] is None
        assert "you are %d at %s." % (i, address) in content(
            copy.get_body(("plain",)))
        assert content(copy.get_body(("html",))).startswith(
            "<p>%s &lt;script&gt;\n" % address)


def test_cc_gets_one_copy(env):
    """Its own address alone in To; Cc as it was given."""
    domain = env.new_domain()
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": spec("Bob", "bob", domain),
        "cc": spec("Jg", "jg", domain), "bcc": spec(None, "al", domain),
        "subject": "x", "text": "%recipient_email%",
        "recipient-variables": "{}"})
    assert reply.status_code == 200, reply.text
    got = copies(env, domain)
    assert got["bob"]["To"] == "Bob <bob@%s.out>" % domain
    assert got["jg"]["To"] == "Jg <jg@%s.out>" % domain
    assert got["al"]["To"] == "al@%s.out" % domain
    assert {m["Cc"] for m in got.values()} == {"Jg <jg@%s.out>" % domain}
    for _, local in PEOPLE:
        assert len(env.mx_messages("%s@%s.out" % (local, domain))) == 1


def test_shared_copy(env):
    """No variables, no batch: one transaction, and nobody's name in it."""
    domain = env.new_domain()
    to = ["r%d@%s.out" % (i, domain) for i in range(50)]
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": ", ".join(to), "subject": "x",
        "text": "100% the same"})
    assert reply.status_code == 200, reply.text
    line = env.wait_mx(to[0])[0]
    assert sorted(line["to"]) == sorted(to)
    got = email.message_from_bytes(env.mx_content(line),
                                   policy=email.policy.default)
    sid = json.loads(base64.b64decode(got["X-Mailgun-Sid"]))
    assert "@" not in sid[1]


def test_refused(env):
    domain = env.new_domain()
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": "bob@x.out", "subject": "x",
        "text": "%recipient%" + "x" * 600000})
    assert reply.status_code == 400
    assert reply.json()["message"] == (
        "a text that holds variables is larger than 512 kB")


def test_told_of_the_copy(env):
    """Webhook and log show what this recipient got."""
    domain = env.new_domain()
    env.ctl("domain", "set", domain, "webhook.deliver=%s/%s" % (
        env.hook_url, domain))
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": spec("Bob", "bob", domain),
        "subject": "For %recipient_name%", "text": "x",
        "v:my-id": "<%recipient.id%>",
        "recipient-variables": json.dumps(variables(domain))})
    assert reply.status_code == 200, reply.text
    fields = env.wait_hook(lambda h: True, "/hook/" + domain)[0]["fields"]
    assert fields["my-id"] == "<0>"
    headers = json.loads(fields["message-headers"])
    assert ["Subject", "For Bob"] in headers
    assert ["To", "Bob <bob@%s.out>" % domain] in headers
    texts = [i["message"] for i in env.api(
        "GET", "/%s/log" % domain).json()["items"]]
    assert any(t.endswith("'For Bob'") and t.startswith("Delivered")
               for t in texts)


def test_to_our_own(env):
    """A mailbox and a route of ours get their copies too."""
    domain = env.new_domain(password="pw-of-postmaster")
    env.ctl("route", "add", env.account, "--expression",
            'match_recipient("app@%s")' % domain, "--action",
            'forward("%s/own-%s")' % (env.hook_url, domain))
    to = ["postmaster@" + domain, "App <app@%s>" % domain]
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": ", ".join(to),
        "subject": "For %recipient%", "text": "at %recipient_email%",
        "recipient-variables": "{}"})
    assert reply.status_code == 200, reply.text
    fields = env.wait_hook(lambda h: True,
                           "/hook/own-" + domain)[0]["fields"]
    assert fields["subject"] == "For App <app@%s>" % domain
    assert fields["To"] == "App <app@%s>" % domain
    assert fields["body-plain"].strip() == "at app@" + domain

    def look():
        client = imaplib.IMAP4("127.0.0.1", env.imap_port)
        try:
            client.login("postmaster@" + domain, "pw-of-postmaster")
            client.select("INBOX")
            found = client.search(None, "ALL")[1][0].split()
            return found and client.fetch(found[0], "(RFC822)")[1][0][1]
        finally:
            client.logout()
    got = email.message_from_bytes(env.wait("the mail in the mailbox", look),
                                   policy=email.policy.default)
    assert got["Subject"] == "For postmaster@" + domain
    assert got["To"] == "postmaster@" + domain
    assert got.get_content().strip() == "at postmaster@" + domain
