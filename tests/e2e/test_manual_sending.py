"""Every sample of the manual's sending chapter, as the bytes its client puts on
the wire (Ruby's RestClient, Java's Jersey, PHP's HttpRequest, Python's requests,
C#'s RestSharp, curl): the reply, and the message that arrives."""
import base64
import email
import email.policy
import http.client
import itertools
import json
import os
import re
from urllib.parse import quote, quote_plus, urlencode

import pytest

JPG = b"\xff\xd8\xff\xe0\0\x10JFIF\r\n--\r\n\n\r\0" + bytes(range(256)) * 8
TXT = b"some notes\n"
MIME = (b"Message-Id: <%s>\nFrom: Ev <ev@mailgun.test>\nTo: x@y.test\n"
        b"Subject: =?utf-8?b?44GT44KT?=\nMime-Version: 1.0\n"
        b"Content-Type: text/plain\n\nHello\n.\nthere\n")
TEXT = "Testing some Mailgun awesomness!"
HTML = "<html>HTML version of the body</html>"
URLENCODED = "application/x-www-form-urlencoded"
counter = itertools.count(1)


def somebody():
    return "manual%d.%d@api.test" % (os.getpid(), next(counter))


# --- how clients write: fields are (name, value) or (name, file, bytes) ---

def ruby(fields):
    """RestClient with a hash or a Multimap that holds no file."""
    return URLENCODED, "&".join(
        quote(k, "") + "=" + quote(v, "") for k, v in fields).encode()


def form(fields):
    """Jersey, requests, RestSharp: blanks are '+'."""
    return URLENCODED, urlencode(fields).encode()


def php_form(fields):
    """http_build_query: arrays have numbers."""
    seen, out = {}, []
    names = [k for k, _ in fields]
    for k, v in fields:
        n = seen[k] = seen.get(k, -1) + 1
        out.append((k if names.count(k) == 1 else "%s[%d]" % (k, n), v))
    return URLENCODED, urlencode(out).encode()


def php_raw(fields):
    """setRawPostData, as the sample joins it."""
    text = "".join("%s=%s&" % (quote_plus(k), quote_plus(v))
                   for k, v in fields)
    return URLENCODED, text[:-1].encode()


def multipart(fields, boundary, field, file):
    body = b""
    for f in fields:
        head = field % f[0] if len(f) == 2 else file % {
            "name": f[0], "file": f[1], "type": {
                "jpg": "image/jpeg", "txt": "text/plain"}.get(
                    f[1][-3:], "application/octet-stream")}
        value = f[-1] if isinstance(f[-1], bytes) else f[-1].encode()
        body += b"--%s\r\n%s\r\n\r\n%s\r\n" % (
            boundary.encode(), head.encode(), value)
    return ("multipart/form-data; boundary=" + boundary,
            body + b"--%s--\r\n" % boundary.encode())


FIELD = 'Content-Disposition: form-data; name="%s"'
FILE = ('Content-Disposition: form-data; name="%(name)s"; filename="%(file)s"'
        '\r\nContent-Type: %(type)s')


def ruby_files(fields):
    return multipart(fields, "918302", FIELD, FILE)


def jersey_files(fields):
    return multipart(
        fields, "Boundary_1_1459386254_1321292558000",
        "Content-Type: text/plain\r\n" + FIELD,
        "Content-Type: %(type)s\r\nContent-Disposition: form-data; "
        'filename="%(file)s"; modification-date="Mon, 14 Nov 2011 17:42:38 '
        'GMT"; size=11; name="%(name)s"')


def php_files(fields):
    return multipart(
        fields, "----------------------------5fa2a1b32dc0", FIELD,
        'Content-Disposition: form-data; name="%(name)s"; filename="%(file)s"'
        "\r\nContent-Type: application/octet-stream")


def requests_files(fields):
    return multipart(
        fields, "127.0.0.1.0.4711.1328598911.500.1",
        FIELD + "\r\nContent-Type: text/plain", FILE)


def restsharp_files(fields):
    return multipart(fields, "-----------------------------28947758029299",
                     FIELD, FILE)


def curl(fields):
    return multipart(fields, "----------------------------c17c0bd6e8b3", FIELD,
                     FILE)


# --- one request, and what came of it ---

def post(env, path, kind, body):
    connection = http.client.HTTPConnection("127.0.0.1", env.api_port,
                                            timeout=60)
    connection.request("POST", "/v2/%s/%s" % (env.domain, path), body, {
        "Authorization": "Basic " + base64.b64encode(
            b"api:" + env.key.encode()).decode(),
        "Content-Type": kind})
    r = connection.getresponse()
    text = r.read().decode()
    connection.close()
    assert r.status == 200, text
    assert r.getheader("Content-Type").startswith("application/json")
    reply = json.loads(text)
    assert reply["message"] == "Queued. Thank you."
    return reply["id"]


def arrived(env, to):
    return email.message_from_bytes(env.mx_content(env.wait_mx(to)[-1]),
                                    policy=email.policy.default)


def basic(env, *to, sender="Excited User <me@%s>"):
    return [("from", sender % env.domain if "%" in sender else sender)] + [
        ("to", t) for t in to] + [("subject", "Hello"), ("text", TEXT)]


def check(env, message_id, to, shown, name="Excited User"):
    assert re.fullmatch(r"<\d{14}\.\d+\.\d+@%s>" % re.escape(env.domain),
                        message_id)
    m = arrived(env, to)
    assert not m.defects
    sender, = m["From"].addresses
    assert (sender.display_name, sender.domain) == (name, env.domain)
    assert m["To"] == shown
    assert m["Subject"] == "Hello"
    assert m["Message-Id"] == message_id
    assert m["Date"].datetime and m["Bcc"] is None
    assert m.get_body(("plain",)).get_content().rstrip("\r\n") == TEXT
    return m


@pytest.mark.parametrize("write, sender, many", [
    (ruby, "Excited User <me@%s>", False),
    (form, "Excited User <me@%s>", True),                      # Java, Python, C#
    (php_form, "Excited User<Excited User <me@%s>>", False),
    (php_form, "Excited User <me@%s>", True),
    (php_raw, "Excited User <me@%s>", True),
    (curl, "Excited User <me@%s>", True)])
def test_plain_text(env, write, sender, many):
    a, b = somebody(), somebody()
    shown = "%s, %s" % (a, b)
    fields = basic(env, *([a, b] if many else [shown]), sender=sender)
    message_id = post(env, "messages", *write(fields))
    for to in a, b:
        m = check(env, message_id, to, shown)
        assert m.get_content_type() == "text/plain"
        assert m["Sender"] is None


def test_curl_names_a_recipient(env):
    a, b = somebody(), somebody()
    message_id = post(env, "messages", *curl(
        basic(env, "Sasha Klizhentas <%s>" % a, b)))
    for to in a, b:
        check(env, message_id, to, "Sasha Klizhentas <%s>, %s" % (a, b))


@pytest.mark.parametrize("write, html", [
    (ruby_files, HTML), (jersey_files, None), (php_files, HTML),
    (requests_files, HTML), (restsharp_files, HTML),
    (curl, "\\<html\\>HTML version of the body\\<\\html>")])
def test_text_html_and_files(env, write, html):
    to, cc, bcc = somebody(), somebody(), somebody()
    fields = basic(env, to) + [("cc", cc), ("bcc", bcc)]
    if html:
        fields.append(("html", html))
    fields += [("attachment", "test.jpg", JPG), ("attachment", "test.txt", TXT)]
    message_id = post(env, "messages", *write(fields))
    for who in to, cc, bcc:
        m = check(env, message_id, who, to)
        assert m["Cc"] == cc
        assert m.get_content_type() == "multipart/mixed"
        if html:
            first = next(m.iter_parts())
            assert first.get_content_type() == "multipart/alternative"
            assert m.get_body(("html",)).get_content().strip() == html
        jpg, txt = m.iter_attachments()
        assert (jpg.get_filename(), jpg.get_content_type()) == (
            "test.jpg", "image/jpeg")
        assert jpg.get_content() == JPG
        assert (txt.get_filename(), txt.get_content_type()) == (
            "test.txt", "text/plain")
        assert txt.get_payload(decode=True) == TXT


@pytest.mark.parametrize("write, extra", [
    (ruby_files, []), (jersey_files, []), (requests_files, []),
    (restsharp_files, []), (curl, []),
    (php_files, [("from", "Excited User <me@x.test>"), ("subject", "Hello"),
                 ("text", TEXT)])])
@pytest.mark.parametrize("as_file", [True, False])
def test_mime(env, write, extra, as_file):
    to = somebody()
    given = "20110701233001.%d@mxa.test" % next(counter)
    mime = MIME % given.encode()
    fields = [("to", "Ev <%s>" % to)] + extra
    fields.append(("message", "message.mime", mime) if as_file
                  else ("message", mime))
    assert post(env, "messages.mime", *write(fields)) == "<%s>" % given
    m = arrived(env, to)
    assert m["Message-Id"] == "<%s>" % given
    assert m["From"] == "Ev <ev@mailgun.test>"
    assert m["Sender"] == "ev=mailgun.test@" + env.domain
    assert m["Subject"] == "\u3053\u3093" and m["To"] == "x@y.test"
    assert m.get_content() == "Hello\r\n.\r\nthere\r\n"


@pytest.mark.parametrize("write, value", [
    (ruby, "false"), (form, "false"), (php_form, ""), (form, "False"),
    (curl, "False"), (curl, "no")])
def test_tracking_off(env, write, value):
    to = somebody()
    message_id = post(env, "messages", *write(
        basic(env, to, sender="Sender Bob <sbob@%s>")
        + [("o:tracking", value)]))
    check(env, message_id, to, to, "Sender Bob")


@pytest.mark.parametrize("write", [ruby, form, php_form, curl])
@pytest.mark.parametrize("date", [
    "Fri, 25 Oct 2011 23:10:10 -0000",     # it was a Tuesday
    "Fri, 14 Oct 2011 23:10:10 -0000", "Wed, 15 Feb 2012 12:52:17 -0000",
    "1321292558", "1321292558.25"])
def test_delivery_time(env, write, date):
    """Those of the samples have passed: that means now."""
    to = somebody()
    message_id = post(env, "messages", *write(
        basic(env, to) + [("o:deliverytime", date)]))
    check(env, message_id, to, to)


@pytest.mark.parametrize("write", [ruby, form, php_form, php_raw, curl])
def test_tags(env, write):
    to = somebody()
    message_id = post(env, "messages", *write(
        basic(env, to) + [("o:tag", "September newsletter"),
                          ("o:tag", "newsletters")]))
    check(env, message_id, to, to)


def test_custom_data(env):
    """Several X-Mailgun-Variables are combined (manual, "Attaching Data")."""
    to = somebody()
    mime = (b'X-Mailgun-Variables: {"first_name": "John", "last_name": '
            b'"Smith"}\nX-Mailgun-Variables: {"my_message_id": 123}\n'
            b"X-Mailgun-Variables: {broken\nX-Mailgun-Tag: a\n"
            b"X-Mailgun-Track: no\nX-Mailgun-Require-TLS: no\n"
            b"From: me@%s\n\nx\n" % env.domain.encode())
    post(env, "messages.mime", *curl([("to", to),
                                      ("message", "message.mime", mime)]))
    m = arrived(env, to)
    assert [str(v) for v in m.get_all("X-Mailgun-Variables")] == [
        "{broken", '{"first_name": "John", "last_name": "Smith", '
        '"my_message_id": 123}']
    assert m["X-Mailgun-Tag"] == "a" and m["X-Mailgun-Track"] == "no"
    assert m["X-Mailgun-Require-TLS"] is None
