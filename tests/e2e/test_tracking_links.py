"""What tracking makes of a message on its way out: links, pixel, footers,
List-Unsubscribe; the rest arrives octet for octet, and is signed."""
import base64
import email
import email.policy
import json
import re
import smtplib
import struct

import pytest

from tests.stack import verifiers as dkim

HTML = ('<html><head><style>a { background: url(http://no.test/s) }</style>\r\n'
        '<!--[if mso]><a href="http://no.test/mso">x</a><![endif]--></head>\r\n'
        "<body bgcolor=#fff>\t Gr\u00fc\u00dfe \r\n"
        '<a href="http://shop.test/a?b=1#c">one</a> <A HREF=https://x.test/2>'
        "two</A>\r\n<a href='mailto:a@b.test'>m</a><a href=\"#top\">t</a>"
        '<a disable-tracking=true href="http://no.test/dt">d</a>\r\n'
        "<script>'<a href=\"http://no.test/js\">'</script></body>\r\n</html>\r\n")
TEXT = ("See http://shop.test/a?b=1, and (https://x.test/2).\r\n"
        "mailto:a@b.test www.no.test  \r\n")
FOOT_HTML = '\r\n<br>\r\n<p><a href="{u:}">unsubscribe</a></p>\r\n'
FOOT_TEXT = "\r\n\r\nTo unsubscribe click: <{u:}>\r\n\r\n"
PIXEL = '<img width="1px" height="1px" alt="" src="{o:}">'


def read_token(token):
    """(kind, domain id, message id, recipient, text)"""
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert raw[0] >> 4 == 1
    domain, message, n = struct.unpack(">QQB", raw[2:19])
    return (raw[0] & 15, domain, message, raw[19:19 + n].decode(),
            raw[19 + n:-16].decode())


def tracked(text, domain, recipient):
    """Links of ours as {c:http://where.test/}, {o:}, {u:}, {u:tags}."""
    def one(m):
        kind, _, _, to, rest = read_token(m.group(2))
        letter = {1: "o", 2: "c", 3: "u", 4: "u", 5: "u"}[kind]
        assert to == recipient and m.group(1) == letter
        return "{%s:%s}" % (letter, rest)
    return re.sub(r"http://email\.%s/([ocu])/([\w-]+)" % re.escape(domain),
                  one, text)


def expected(text, clicks=True):
    """How the samples above come out."""
    if not clicks:
        return text
    return re.sub(r"(?<=[\"= (])(https?://(?:shop|x)\.test/[\w?=#]*)",
                  r"{c:\1}", text)


class Arrived:
    def __init__(self, env, to):
        self.domain = to.split("@")[1].removesuffix(".out")
        self.to = to
        self.line = env.wait_mx(to)[0]
        raw = env.mx_content(self.line)
        while raw.startswith(b"X-Envelope-"):
            raw = raw.split(b"\r\n", 1)[1]
        self.raw = raw
        self.msg = email.message_from_bytes(raw, policy=email.policy.default)

    def part(self, kind):
        for p in self.msg.walk():
            if p.get_content_type() == kind and not p.get_filename():
                return p
        raise AssertionError("no " + kind)

    def read(self, kind):
        p = self.part(kind)
        text = p.get_payload(decode=True).decode(p.get_content_charset())
        return tracked(text, self.domain, self.to)

    def is_signed(self, env):
        keys = dkim.records_of(env.api("GET", "/domains/" + self.domain)
                               .json())
        return dkim.by_python(self.raw, keys) == [True, True]


@pytest.fixture
def tracking_domain(env):
    d = env.new_domain()
    env.ctl("domain", "set", d, "track_opens=yes", "track_clicks=yes")
    return d


def post(env, d, to, **more):
    data = {"from": "me@" + d, "to": to, "subject": "x", "text": TEXT,
            "html": HTML}
    data.update(more)
    data = {k: v for k, v in data.items() if v is not None}
    r = env.api("POST", "/%s/messages" % d, data=data,
                files=more.pop("files", None))
    assert r.status_code == 200, r.text


@pytest.mark.both
def test_api(env, tracking_domain):
    d = tracking_domain
    to = "api@%s.out" % d
    r = env.api("POST", "/%s/messages" % d, data={
        "from": "me@" + d, "to": to, "subject": "x", "text": TEXT,
        "html": HTML}, files=[("attachment", (
            "a.html", HTML.encode(), "text/html"))])
    assert r.status_code == 200
    got = Arrived(env, to)
    assert got.read("text/plain") == expected(TEXT)
    assert got.read("text/html") == expected(HTML).replace(
        "</body>", PIXEL + "</body>")
    attached = [p for p in got.msg.walk() if p.get_filename()][0]
    assert attached.get_payload(decode=True) == HTML.encode()
    assert got.is_signed(env)
    assert got.msg["List-Unsubscribe"] is None


def mime(d, cte=("quoted-printable", "base64")):
    msg = email.message.EmailMessage(policy=email.policy.SMTP)
    msg["From"] = "me@" + d
    msg["Subject"] = "x"
    msg.set_content(TEXT, cte=cte[0], charset="iso-8859-1")
    msg.add_alternative(HTML, subtype="html", cte=cte[1])
    msg.add_attachment(HTML, subtype="html", filename="a.html")
    return bytes(msg)


def check(env, got, text, html):
    """Python's composer has LF in base64: as it came, so it goes."""
    assert got.read("text/plain").replace("\r\n", "\n") == \
        text.replace("\r\n", "\n")
    assert got.read("text/html").replace("\r\n", "\n") == \
        html.replace("\r\n", "\n")
    attached = [p for p in got.msg.walk() if p.get_filename()][0]
    assert tracked(attached.get_content(), got.domain, got.to) \
        == attached.get_content()
    assert got.is_signed(env)


@pytest.mark.both
def test_mime_with_footers(env, tracking_domain):
    d = tracking_domain
    env.ctl("domain", "set", d, "unsubscribe=yes")
    to = "mime@%s.out" % d
    r = env.api("POST", "/%s/messages.mime" % d, data={"to": to},
                files={"message": ("m.mime", mime(d))})
    assert r.status_code == 200, r.text
    got = Arrived(env, to)
    check(env, got, expected(TEXT) + FOOT_TEXT, expected(HTML).replace(
        "</body>", FOOT_HTML + PIXEL + "</body>"))
    field = re.sub(r"\s", "", got.msg["List-Unsubscribe"])
    url, mail = field[1:-1].split(">,<")
    assert tracked(url, d, to) == "{u:}"
    assert re.fullmatch(r"mailto:u\+[a-z2-7]{52}@" + re.escape(d), mail)
    assert got.msg["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    signed = re.sub(rb"\s", b"", got.raw.split(b"\r\n\r\n")[0])
    assert b":list-unsubscribe:" in signed
    assert b":list-unsubscribe-post:" in signed

    # his own is left alone, and footers where he links himself
    to = "own@%s.out" % d
    own = (b"List-Unsubscribe: <%unsubscribe_email%>, <%unsubscribe_url%>\r\n"
           + mime(d).replace(b"See ", b"%unsubscribe_url%. See "))
    r = env.api("POST", "/%s/messages.mime" % d, data={"to": to},
                files={"message": ("m.mime", own)})
    assert r.status_code == 200, r.text
    got = Arrived(env, to)
    check(env, got, "{u:}. " + expected(TEXT), expected(HTML).replace(
        "</body>", PIXEL + "</body>"))
    assert len(got.msg.get_all("List-Unsubscribe")) == 1
    assert got.msg["List-Unsubscribe-Post"] is None
    mail, url = re.sub(r"\s", "", got.msg["List-Unsubscribe"])[1:-1] \
        .split(">,<")
    assert mail.startswith("mailto:u+") and tracked(url, d, to) == "{u:}"


def same(a, b):
    """Of large texts, where pytest would take minutes to show how they differ."""
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y),
              min(len(a), len(b)))
    assert a[at:at + 80] == b[at:at + 80] and len(a) == len(b)


def submit(env, d, to, content):
    with smtplib.SMTP("127.0.0.1", env.submission_port) as s:
        s.starttls()
        s.login("postmaster@" + d, "domain-secret")
        s.sendmail("me@" + d, [to], content)


@pytest.mark.both
def test_smtp(env):
    d = env.new_domain()
    to = "off@%s.out" % d
    submit(env, d, to, mime(d))
    check(env, Arrived(env, to), TEXT, HTML)  # off is the default
    to = "smtp@%s.out" % d
    submit(env, d, to, b"X-Mailgun-Track: yes\r\nX-Mailgun-Track-Clicks: "
           b"htmlonly\r\n" + mime(d))
    got = Arrived(env, to)
    check(env, got, TEXT, expected(HTML).replace("</body>",
                                                 PIXEL + "</body>"))
    assert got.msg["X-Mailgun-Track"] == "yes"
    # more than a receiver's loop looks through itself
    to = "large@%s.out" % d
    rows = "".join('<p><a href="http://x.test/%d">%s</a></p>\r\n'
                   % (i, "x" * 60) for i in range(900))
    submit(env, d, to, (
        "X-Mailgun-Track-Clicks: yes\r\nFrom: me@%s\r\nContent-Type: text/html;"
        " charset=us-ascii\r\n\r\n%s" % (d, rows)).encode())
    got = Arrived(env, to)
    same(got.read("text/html"), re.sub(r'"(http[^"]*)"', r'"{c:\1}"', rows))
    # whose content goes ahead of the rest
    to = "ahead@%s.out" % d
    text = "x" * 76 + "\r\n"
    text = text * 5000 + "http://x.test/%recipient_email%\r\n"
    submit(env, d, to, "X-Mailgun-Track-Clicks: yes\r\nFrom: me@%s\r\n\r\n%s"
           % (d, text))
    got = Arrived(env, to)
    same(tracked(got.msg.get_content(), d, to), text.replace(
        "http://x.test/%recipient_email%", "{c:http://x.test/%s}" % to))


@pytest.mark.parametrize("options, clicks_html, clicks_text, opens", [
    ({"o:tracking": "no"}, False, False, False),
    ({"o:tracking": ""}, False, False, False),  # PHP's false
    ({"o:tracking-clicks": "no"}, False, False, True),
    ({"o:tracking-clicks": "htmlonly"}, True, False, True),
    ({"o:tracking-opens": "False"}, True, True, False),
    ({"o:tracking": "1"}, True, True, True)])
def test_message_over_domain(env, tracking_domain, options, clicks_html,
                             clicks_text, opens):
    d = tracking_domain
    to = "o@%s.out" % d
    post(env, d, to, **options)
    got = Arrived(env, to)
    assert got.read("text/plain") == expected(TEXT, clicks_text)
    html = expected(HTML, clicks_html)
    assert got.read("text/html") == (
        html.replace("</body>", PIXEL + "</body>") if opens else html)


def test_batch(env, tracking_domain):
    """Each copy has its recipient's links; where they lead may be his own."""
    d = tracking_domain
    people = {"p%d@%s.out" % (i, d): {"id": i, "url": "http://x.test/%d?a&b" % i}
              for i in range(3)}
    html = ('<a href="%recipient.url%">one</a><a href="http://y.test/'
            '%recipient.id%">two</a><a href="%tag_unsubscribe_url%">no more</a>')
    post(env, d, list(people), html=html, text=None, **{
        "recipient-variables": json.dumps(people), "o:tag": ["a b", "c"]})
    for to, values in people.items():
        got = Arrived(env, to)
        assert got.read("text/html").replace("\r\n", "") == (
            '<a href="{c:%s}">one</a><a href="{c:http://y.test/%d}">two</a>'
            '<a href="{u:a b\nc}">no more</a>%s'
            % (values["url"], values["id"], PIXEL))
        assert got.msg["To"] == to and got.is_signed(env)


def test_what_is_signed_or_encrypted_stays(env, tracking_domain):
    d = tracking_domain
    to = "pgp@%s.out" % d
    inner = ("Content-Type: text/html; charset=utf-8\r\n\r\n<a href=\"http://"
             "x.test/\">x</a>  \r\n")
    content = ("From: me@%s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/"
               "signed; boundary=b; micalg=pgp-sha256;\r\n protocol=\"applicatio"
               "n/pgp-signature\"\r\n\r\n--b\r\n%s\r\n--b\r\nContent-Type: "
               "application/pgp-signature\r\n\r\nxyz\r\n--b--\r\n" % (d, inner))
    submit(env, d, to, content)
    assert inner.encode() in Arrived(env, to).raw


def test_japanese(env, tracking_domain):
    d = tracking_domain
    to = "jp@%s.out" % d
    body = ('<p>\u30cf\u30ed\u30fc <a href="http://x.test/">\u300c</a></p>\r\n'
            "</body>\r\n")
    raw = body.encode("iso-2022-jp")
    submit(env, d, to, (
        "From: me@%s\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset="
        "iso-2022-jp\r\n\r\n" % d).encode() + raw)
    got = Arrived(env, to)
    payload = got.part("text/html").get_payload(decode=True)
    assert tracked(payload.decode("ascii"), d, to).encode() == raw.replace(
        b"http://x.test/", b"{c:http://x.test/}").replace(
            b"</body>", PIXEL.encode() + b"</body>")


def test_what_a_route_forwards_is_not_rewritten(env, tracking_domain):
    d = tracking_domain
    env.ctl("domain", "set", d, "unsubscribe=yes")
    env.ctl("route", "add", env.account, "--expression",
            "match_recipient('fwd@%s')" % d, "--action",
            "forward('out@%s.out')" % d)
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("x@far.test", ["fwd@" + d],
                   b"From: x@far.test\r\nX-Mailgun-Track: yes\r\n" + mime(d))
    got = Arrived(env, "out@%s.out" % d)
    assert got.read("text/html").replace("\r\n", "\n") \
        == HTML.replace("\r\n", "\n")
    assert got.msg["List-Unsubscribe"] is None


def test_test_mode(env, tracking_domain):
    """Taken and looked through as any; nothing goes out."""
    d = tracking_domain
    post(env, d, "test@%s.out" % d, **{"o:testmode": "yes"})
    post(env, d, "after@%s.out" % d)
    Arrived(env, "after@%s.out" % d)
    assert env.mx_messages("test@%s.out" % d) == []
