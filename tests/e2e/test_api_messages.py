"""POST /<domain>/messages and messages.mime: the manual's samples in every
form clients send them, what arrives, and the errors' exact texts."""
import email
import email.policy
import hashlib
import itertools
import json
import os
import re
import time

import pytest
import requests

JPG = b"\xff\xd8\xff\xe0\0\x10JFIF\r\n--\r\n\n\r\0" + bytes(range(256)) * 8
counter = itertools.count(1)


def somebody():
    return "to%d.%d@api.test" % (os.getpid(), next(counter))


def fields(env, **more):
    data = {"from": "Excited User <me@%s>" % env.domain, "to": somebody(),
            "subject": "Hello", "text": "Testing some Mailgun awesomness!"}
    data.update(more)
    return {k: v for k, v in data.items() if v is not None}


def post(env, data=None, mime=False, **kwargs):
    return env.api("POST", "/%s/messages%s" % (
        env.domain, ".mime" if mime else ""), data=data, **kwargs)


def queued(r, domain):
    assert r.status_code == 200, r.text
    reply = r.json()
    assert reply["message"] == "Queued. Thank you."
    assert re.fullmatch(r"<\d{14}\.\d+\.\d+@%s>" % re.escape(domain),
                        reply["id"]), reply
    return reply["id"]


def arrived(env, to):
    line = env.wait_mx(to)[-1]
    return email.message_from_bytes(env.mx_content(line),
                                    policy=email.policy.default)


# --- the samples ---

def test_plain_message(env):
    data = fields(env)
    message_id = queued(post(env, data), env.domain)
    m = arrived(env, data["to"])
    assert m["From"] == "Excited User <me@%s>" % env.domain
    assert m["To"] == data["to"]
    assert m["Subject"] == "Hello"
    assert m["Message-Id"] == message_id
    assert m["Date"] and m["Mime-Version"] == "1.0"
    assert m["Sender"] is None
    assert m["Received"].startswith("by mail.mailgun.test with HTTP; ")
    assert m.get_content().strip() == "Testing some Mailgun awesomness!"


def test_curl_sample_is_multipart_with_repeated_to(env):
    a, b = somebody(), somebody()
    data = fields(env, to=None)
    parts = [(k, (None, v)) for k, v in data.items()]
    parts += [("to", (None, "Sasha Klizhentas <%s>" % a)), ("to", (None, b))]
    queued(post(env, files=parts), env.domain)
    for to in (a, b):
        assert arrived(env, to)["To"] == "Sasha Klizhentas <%s>, %s" % (a, b)


def test_comma_list(env):
    a, b = somebody(), somebody()
    queued(post(env, fields(env, to="%s, %s" % (a, b))), env.domain)
    arrived(env, a), arrived(env, b)


@pytest.mark.parametrize("names", [
    ("to", "to"), ("to[]", "to[]"), ("to[0]", "to[1]"),
    ("to%5B%5D", "to%5B%5D")])
def test_repeated_fields_of_all_clients(env, names):
    from urllib.parse import quote
    a, b = somebody(), somebody()
    body = "&".join(["from=me@" + env.domain, "subject=s", "text=t",
                     names[0] + "=" + quote(a), names[1] + "=" + quote(b)])
    queued(post(env, body, headers={
        "Content-Type": "application/x-www-form-urlencoded"}), env.domain)
    arrived(env, a), arrived(env, b)


def test_body_without_a_type_is_urlencoded(env):
    """PHP's setRawPostData."""
    to = somebody()
    body = "from=me@%s&to=%s&text=t&subject=raw&" % (env.domain, to)
    queued(post(env, body.encode(), headers={"Content-Type": None}),
           env.domain)
    assert arrived(env, to)["Subject"] == "raw"


@pytest.mark.parametrize("files", ["attachment", "attachment[%d]"])
def test_text_html_and_files(env, files):
    data = fields(env, html="<html>HTML version of the body</html>",
                  cc=somebody(), bcc=somebody())
    queued(post(env, data, files=[
        (files % 1 if "%" in files else files, ("cartman.jpg", JPG)),
        (files % 2 if "%" in files else files,
         ("test.txt", b"hello\n", "text/plain"))]), env.domain)
    for who in ("to", "cc", "bcc"):
        m = arrived(env, data[who])
        assert m["Cc"] == data["cc"] and m["Bcc"] is None
        del m["X-Envelope-To"]  # the sandbox MX's own
        assert data["bcc"] not in m.as_string()
        assert m.get_body(("plain",)).get_content().strip() == data["text"]
        assert m.get_body(("html",)).get_content().strip() == data["html"]
        a, b = m.iter_attachments()
        assert a.get_filename() == "cartman.jpg"
        assert a.get_content_type() == "image/jpeg"
        assert a.get_content() == JPG
        assert b.get_filename() == "test.txt"
        assert b.get_content() == "hello\n"


def test_inline(env):
    data = fields(env, html='<img src="cid:test.jpg">')
    queued(post(env, data, files=[("inline", ("test.jpg", JPG))]), env.domain)
    m = arrived(env, data["to"])
    part = [p for p in m.walk() if p.get_content_type() == "image/jpeg"][0]
    assert part["Content-Id"] == "<test.jpg>"
    assert part["Content-Disposition"].startswith("inline")
    assert part.get_payload(decode=True) == JPG


def test_php_sample_with_the_nested_address(env):
    d = env.domain
    data = fields(env, **{"from": "Excited User<Excited User <me@%s>>" % d})
    queued(post(env, data), env.domain)
    assert "me@" + d in arrived(env, data["to"])["From"]


@pytest.mark.parametrize("value", ["False", "false", "no", "", "0"])
def test_tracking_off_as_clients_write_it(env, value):
    queued(post(env, fields(env, **{"o:tracking": value})), env.domain)


def test_delivery_time_in_the_past_means_now(env):
    for value in ("Fri, 25 Oct 2011 23:10:10 -0000",
                  "Fri, 14 Oct 2011 23:10:10 -0000", "1319584210",
                  "1319584210.5"):
        data = fields(env, **{"o:deliverytime": value})
        queued(post(env, data), env.domain)
        arrived(env, data["to"])


def test_delivery_time_to_come(env):
    data = fields(env, **{"o:deliverytime": str(int(env.faults.now()) + 7200)})
    queued(post(env, data), env.domain)
    time.sleep(2)
    assert not env.mx_messages(data["to"])
    r = post(env, fields(env, **{
        "o:deliverytime": str(int(env.faults.now()) + 30 * 86400)}))
    assert r.status_code == 400
    r = post(env, fields(env, **{"o:deliverytime": "tomorrow"}))
    assert r.status_code == 400
    assert r.json()["message"] == \
        "tomorrow is not an RFC-2822 compliant date"


def test_tags(env):
    data = fields(env, **{"o:tag": ["September newsletter", "newsletters"]})
    queued(post(env, data), env.domain)
    arrived(env, data["to"])


def test_test_mode_sends_nothing(env):
    for value in ("yes", "true", "True"):
        data = fields(env, **{"o:testmode": value})
        queued(post(env, data), env.domain)
        log = env.api("GET", "/%s/log" % env.domain).json()["items"]
        assert ["%s (test mode): me@%s \u2192 %s 'Hello'" % (
            word, env.domain, data["to"]) for word in (
                "Delivered", "Accepted")] == [
            i["message"] for i in log if data["to"] in i["message"]]
        time.sleep(1)
        assert not env.mx_messages(data["to"])
    data = fields(env, **{"o:testmode": "no"})
    queued(post(env, data), env.domain)
    arrived(env, data["to"])


def test_headers_and_variables(env):
    data = fields(env, **{
        "h:Reply-To": "Bob <bob@x.test>", "h:X-My-Header": "yes \u2192",
        "h:Subject": "Replaced", "v:my-var": '{"my_message_id": 123}',
        "v:plain": "text"})
    queued(post(env, data), env.domain)
    m = arrived(env, data["to"])
    assert m["Reply-To"] == "Bob <bob@x.test>"
    assert m["X-My-Header"] == "yes \u2192"
    assert m.get_all("Subject") == ["Replaced"]
    assert json.loads(m["X-Mailgun-Variables"]) == {
        "my-var": {"my_message_id": 123}, "plain": "text"}


def test_message_id_given(env):
    data = fields(env, **{"h:Message-Id": "<mine.%d@x.test>" % os.getpid()})
    r = post(env, data)
    assert r.json()["id"] == data["h:Message-Id"]
    assert arrived(env, data["to"])["Message-Id"] == data["h:Message-Id"]


def test_from_another_domain_gets_a_sender(env):
    data = fields(env, **{"from": "Me <me@other-company.test>"})
    queued(post(env, data), env.domain)
    m = arrived(env, data["to"])
    assert m["From"] == "Me <me@other-company.test>"
    assert m["Sender"] == "me=other-company.test@" + env.domain


@pytest.mark.parametrize("mime", [False, True])
def test_the_from_that_is_seen_decides_on_the_sender(env, mime):
    data = fields(env, **{"h:From": "Me <me@other-company.test>"})
    if mime:
        r = post(env, {k: data[k] for k in ("to", "h:From")}, mime=True,
                 files=[("message", ("m", "From: %s\n\nx\n" % data["from"]))])
    else:
        r = post(env, data)
    queued(r, env.domain)
    m = arrived(env, data["to"])
    assert m["From"] == "Me <me@other-company.test>"
    assert m["Sender"] == "me=other-company.test@" + env.domain


def test_utf8_everywhere(env):
    to = somebody()
    data = fields(env, subject="Zażółć \U0001f4a9", to="Łukasz <%s>" % to,
                  text="gęślą jaźń\n", html="<p>jaźń</p>",
                  **{"from": "Żółw <me@%s>" % env.domain})
    queued(post(env, data, files=[("attachment", ("плик.txt", b"x"))]),
           env.domain)
    m = arrived(env, to)
    assert m["Subject"] == data["subject"]
    assert m["To"].addresses[0].display_name == "Łukasz"
    assert m["From"].addresses[0].display_name == "Żółw"
    assert m.get_body(("plain",)).get_content().strip() == "gęślą jaźń"
    assert [a.get_filename() for a in m.iter_attachments()] == ["плик.txt"]


def test_bad_utf8_is_no_crash(env):
    to = somebody()
    body = (b"from=me%40" + env.domain.encode() + b"&to=" + to.encode() +
            b"&subject=%ff%fe&text=a%ff%00b&h:X-A=%ff&v:x=%ff")
    queued(post(env, body, headers={
        "Content-Type": "application/x-www-form-urlencoded"}), env.domain)
    assert arrived(env, to)["Subject"]


def test_same_address_twice_gets_one_copy(env):
    a = somebody()
    queued(post(env, fields(env, to=[a, "A <%s>" % a], cc=a)), env.domain)
    env.wait_mx(a)
    time.sleep(1)
    assert len(env.mx_messages(a)) == 1


def test_parameters_in_the_query(env):
    to = somebody()
    r = env.api("POST", "/%s/messages" % env.domain,
                params={"to": to, "subject": "q"},
                data={"from": "me@" + env.domain, "text": "x"})
    queued(r, env.domain)
    assert arrived(env, to)["Subject"] == "q"


# --- MIME ---

MIME = (b"From: Bob <bob@%s>\nTo: nobody@nowhere.test\nSubject: Mime\n"
        b"Content-Type: text/plain; charset=utf-8\n\nline one\nline two\n")


def mime(env, extra=b"", text=MIME):
    return extra + text.replace(b"%s", env.domain.encode())


def as_parts(to, text, name="message.mime"):
    return [("to", (None, to)), ("message", (name, text))]


@pytest.mark.parametrize("name", ["message.mime", "x.eml", None])
def test_mime_message(env, name):
    """As a file, and as the plain field some clients send. Lines that end in
    LF alone are taken; To: of the message is not consulted."""
    to = somebody()
    r = post(env, mime=True, files=as_parts("Ev <%s>" % to, mime(env), name))
    message_id = queued(r, env.domain)
    line = env.wait_mx(to)[-1]
    content = env.mx_content(line)
    m = email.message_from_bytes(content, policy=email.policy.default)
    assert m["Message-Id"] == message_id
    assert m["To"] == "nobody@nowhere.test"
    assert m["Date"] and m["Mime-Version"]
    assert m["Received"].startswith("by mail.mailgun.test with HTTP; ")
    assert m.get_content().splitlines() == ["line one", "line two"]
    assert not env.mx_messages("nobody@nowhere.test")


def test_mime_message_id_is_kept(env):
    to = somebody()
    r = post(env, mime=True, files=as_parts(
        to, mime(env, b"Message-ID: <20110701233001.E5@mxa.test>\r\n")))
    assert r.json()["id"] == "<20110701233001.E5@mxa.test>"
    assert arrived(env, to)["Message-Id"] == "<20110701233001.E5@mxa.test>"


def test_mime_php_sends_more_fields(env):
    to = somebody()
    data = fields(env, to=to, subject="ignored", text="ignored")
    queued(post(env, data, mime=True,
                files=[("message", ("message.mime", mime(env)))]), env.domain)
    m = arrived(env, to)
    assert m["Subject"] == "Mime"
    assert m["From"] == "Bob <bob@%s>" % env.domain


def test_mime_submission_headers(env):
    to = somebody()
    queued(post(env, mime=True, files=as_parts(to, mime(
        env, b"X-Mailgun-Drop-Message: yes\n"))), env.domain)
    time.sleep(1)
    assert not env.mx_messages(to)


def test_mime_body_is_kept_byte_for_byte(env):
    to = somebody()
    body = b"".join(b"%d: \xe2\x86\x92 \xff . ..\r\n" % i
                    for i in range(20000))
    queued(post(env, mime=True, files=as_parts(to, mime(
        env, text=b"From: bob@%s\r\nSubject: big\r\n\r\n") + body)),
        env.domain)
    content = env.mx_content(env.wait_mx(to)[-1])
    sep = b"\r\n\r\n" if b"\r\n\r\n" in content else b"\n\n"
    got = content.split(sep, 1)[1]
    assert got.replace(b"\r\n", b"\n") == body.replace(b"\r\n", b"\n")


# --- errors, word for word ---

def errors(domain):
    address = "' parameter is not a valid address. please check documentation"
    return [
        (dict([("from", None)]), "'from' parameter is missing"),
        (dict([("from", "")]), "'from' parameter is missing"),
        (dict(to=None), "'to' parameter is missing"),
        (dict(to=""), "'to' parameter is missing"),
        (dict([("from", "nobody")]), "'from" + address),
        (dict([("from", "a@x.test, b@x.test")]), "'from" + address),
        (dict(to="not an address"), "'to" + address),
        (dict(to=["ok@x.test", "@"]), "'to" + address),
        (dict(cc="x@"), "'cc" + address),
        (dict(bcc="@y"), "'bcc" + address),
        (dict(text=None), "Need at least one of 'text' or 'html' parameters "
                          "specified"),
        ({"recipient-variables": "{"},
         "'recipient-variables' parameter is not a valid JSON"),
        ({"recipient-variables": "[1]"},
         "'recipient-variables' parameter is not a valid JSON"),
        ({"recipient-variables": '{"a":"%s"}' % ("x" * (4 << 20))},
         "'recipient-variables' parameter is larger than 4 MB"),
        ({"subject": "s" * 200000}, "'subject' parameter is too long"),
        ({"h:X-ż": "1"}, "Header name must be pure ASCII: X-ż"),
        ({"v:x": "y" * 17000},
         "Send options (parameters starting with o:, h:, or v:) are limited "
         "to 16 kB total"),
        ({"v:x": "y" * 200000},
         "Send options (parameters starting with o:, h:, or v:) are limited "
         "to 16 kB total"),
    ]


@pytest.mark.parametrize("number", range(len(errors("d"))))
@pytest.mark.parametrize("multipart", [False, True])
def test_errors(env, number, multipart):
    change, text = errors(env.domain)[number]
    data = fields(env, **change)
    kwargs = {"files": [("unused", ("", b""))]} if multipart else {}
    r = post(env, data, **kwargs)
    assert (r.status_code, r.json()) == (400, {"message": text})


@pytest.mark.parametrize("parts, text", [
    ([("message", ("m", b"From: a@b.test\n\nx"))],
     "'to' parameter is missing"),
    ([("to", (None, "a@x.test"))], "'message' parameter is missing"),
    ([("to", (None, "a@x.test")), ("message", (None, "no mime at all"))],
     "'message' parameter is not a file"),
    ([("to", (None, "a@x.test")), ("message", ("m", b""))],
     "'message' parameter is not a file"),
    ([("to", (None, "nobody")), ("message", ("m", b"From: a@b.test\n\nx"))],
     "'to' parameter is not a valid address. please check documentation"),
])
def test_mime_errors(env, parts, text):
    r = post(env, mime=True, files=parts)
    assert (r.status_code, r.json()) == (400, {"message": text})


def test_mime_must_be_multipart(env):
    r = post(env, {"to": "a@x.test", "message": "From: a@b.test\n\nx"},
             mime=True)
    assert r.status_code == 400
    assert r.json()["message"] == (
        "Invalid request content type. Expecting 'multipart/form-data' but "
        "got 'application/x-www-form-urlencoded'")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb"])
def test_header_injection(env, value):
    for name in ("subject", "h:X-A", "h:Reply-To"):
        r = post(env, fields(env, **{name: value}))
        assert r.status_code == 400, name
    to = somebody()
    r = post(env, fields(env, to=to, **{"h:X-A\r\nX-Evil": "1"}))
    assert r.status_code == 400


@pytest.mark.parametrize("name", ["from", "to", "cc", "bcc", "subject",
                                  "h:X-A", "h:Message-Id"])
def test_nul_in_what_becomes_a_header(env, name):
    given = fields(env)
    given[name] = given.get(name, "a@b.test") + "\0"
    r = post(env, given)
    assert (r.status_code, r.json()) == (
        400, {"message": "'%s' parameter contains a NUL character" % name})
    # elsewhere it is replaced
    assert post(env, fields(env, text="a\0b")).status_code == 200


def test_unknown_domain(env):
    r = env.api("POST", "/nobody.test/messages", data=fields(env))
    assert (r.status_code, r.json()) == (
        404, {"message": "Domain not found: nobody.test"})


def test_recipient_limit(env):
    many = ["r%d@limit.test" % i for i in range(1001)]
    for to in (many, ",".join(many)):
        r = post(env, fields(env, to=to, **{"o:testmode": "yes"}))
        assert (r.status_code, r.json()) == (
            400, {"message": "Too many recipients, max is 1000"})
    r = post(env, fields(env, to=many[:600], cc=many[600:],
                         **{"o:testmode": "yes"}))
    assert r.status_code == 400
    queued(post(env, fields(env, to=many[:1000], **{"o:testmode": "yes"})),
           env.domain)


# --- size ---

def test_large_attachment_is_exact(env):
    data = fields(env)
    blob = os.urandom(1 << 20) * 18
    queued(post(env, data, files=[("attachment", ("big.bin", blob))]),
           env.domain)
    line = env.wait_mx(data["to"], timeout=60)[-1]
    m = email.message_from_bytes(env.mx_content(line),
                                 policy=email.policy.default)
    got = next(m.iter_attachments()).get_content()
    assert hashlib.sha256(got).digest() == hashlib.sha256(blob).digest()


def test_large_mime_is_taken(env):
    to = somebody()
    text = mime(env) + b"x" * 70 + b"\r\n"
    text += (b"y" * 78 + b"\n") * ((24 << 20) // 80)
    queued(post(env, mime=True, files=as_parts(to, text)), env.domain)
    line = env.wait_mx(to, timeout=60)[-1]
    assert len(env.mx_content(line)) > 24000000


def test_large_text_urlencoded(env):
    data = fields(env, text="%&=" * 1000000)
    queued(post(env, data), env.domain)
    m = arrived(env, data["to"])
    assert m.get_content().replace("\n", "").replace("\r", "") == data["text"]


def test_finished_message_over_25_mb(env):
    """24 MB fit into the request, but not into the message as base64."""
    r = post(env, fields(env), files=[
        ("attachment", ("big.bin", os.urandom(1 << 20) * 24))])
    assert (r.status_code, r.json()) == (
        400, {"message": "Message is too big: maximum is 25 MB"})
    r = post(env, mime=True, files=as_parts(
        somebody(), mime(env) + b"\n" * (15 << 20)))
    assert r.status_code == 400, r.text


def test_request_over_the_limit(env):
    r = post(env, fields(env), files=[
        ("attachment", ("big.bin", b"\0" * (27 << 20)))])
    assert r.status_code == 413
    assert r.json()["message"] == "request size exceeds 26.0MiB limit"


# --- limits of tags and campaigns ---

@pytest.mark.parametrize("name, values, text", [
    ("o:tag", ["a", "b", "c", "d"], "Too many tags, max is 3"),
    ("o:tag", ["x" * 129], "'o:tag' parameter is longer than 128 characters"),
    ("o:tag", ["\u00e4"], "'o:tag' parameter must be pure ASCII"),
    ("o:campaign", ["a", "b", "c", "d"], "Too many campaigns, max is 3"),
    ("o:campaign", ["nope"], "Campaign not found: nope"),
    ("o:testmode", ["maybe"], "'o:testmode' parameter must be yes or no"),
    ("o:deliver-within", ["soon"],
     "'o:deliver-within' parameter is not a duration like 1h30m"),
    ("h:X-Mailgun-Deliver-By", ["soon"],
     "soon is not an RFC-2822 compliant date")])
def test_options_that_are_refused(env, name, values, text):
    r = post(env, fields(env, **{name: values}))
    assert (r.status_code, r.json()) == (400, {"message": text})


def test_campaigns(env):
    for name in "c-one", "c-two", "c-three":
        env.ctl("campaign", "add", env.domain, "A name", "--id", name)
    data = fields(env, **{"o:campaign": ["c-one", "c-two", "c-three"]})
    queued(post(env, data), env.domain)
    arrived(env, data["to"])
    mime = "X-Mailgun-Campaign-Id: c-four\n\nx"
    r = post(env, {"to": somebody()}, mime=True,
             files={"message": ("m", mime)})
    assert r.json()["message"] == "Campaign not found: c-four"
    assert r.status_code == 400
    r = requests.post(env.api_url[:-2] + "v3/%s/messages" % env.domain,
                      auth=("api", env.key), data=fields(env, **{
                          "o:campaign": ["no", "such", "campaign", "id"]}))
    assert r.status_code == 200


def test_batch(env):
    """Each recipient a copy with only its own address, by parameter and by
    header; the variables of others stay with us."""
    a, b = somebody(), somebody()
    variables = json.dumps({a: {"n": "one"}, b.upper(): {"n": "two"}})
    queued(post(env, fields(env, to=["Al <%s>" % a, b], **{
        "subject": "You are %recipient.n%",
        "recipient-variables": variables})), env.domain)
    for to, shown, n in (a, "Al <%s>" % a, "one"), (b, b, "two"):
        m = arrived(env, to)
        assert (m["To"], m["Subject"]) == (shown, "You are " + n)
    mime = ("X-Mailgun-Recipient-Variables: %s\nTo: %%recipient%%\n"
            "Subject: You are %%recipient.n%%\n\nx\n" % variables)
    r = post(env, {"to": [a, b]}, mime=True, files={"message": ("m", mime)})
    assert r.status_code == 200, r.text
    for to, n in (a, "one"), (b, "two"):
        m = email.message_from_bytes(env.mx_content(env.wait_mx(to, 2)[-1]),
                                     policy=email.policy.default)
        assert (m["To"], m["Subject"]) == (to, "You are " + n)
        assert m["X-Mailgun-Recipient-Variables"] is None


def test_deliver_within(own_env):
    env = own_env
    env.send(to="defer-451-w@remote.test", **{"o:deliver-within": "1h"})

    def haps():
        items = env.api("GET", "/%s/log" % env.domain).json()["items"]
        return [i["hap"] for i in items]
    env.wait("a first try", lambda: "tempfail" in haps())
    env.faults.advance(3700)
    env.wait("the end of an hour", lambda: "dropped" in haps())
