"""The API as an HTTP server: who may, what is where, what is refused."""
import base64
import re
import socket
import subprocess

import pytest
import requests

from tests.stack.faults import EIO, ENOSPC


def url(env, path, version="v2"):
    return env.api_url.rsplit("/", 1)[0] + "/" + version + path


def raw(env, data, shut=False):
    """Bytes to the server, its whole answer."""
    host, port = re.match(r"https?://([^:/]+):(\d+)", env.api_url).groups()
    with socket.create_connection((host, int(port)), 20) as s:
        s.settimeout(20)
        s.sendall(data)
        if shut:
            s.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                return got
            got += piece


def header(env, *lines):
    auth = base64.b64encode(b"api:" + env.key.encode()).decode()
    return "\r\n".join(["POST /v2/%s/messages HTTP/1.1" % env.domain,
                        "Host: localhost", "Connection: close",
                        "Authorization: Basic " + auth] + list(lines) +
                       ["", ""]).encode()


# --- who ---

def credentials(text):
    return {"Authorization": "Basic " + base64.b64encode(text).decode()}


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": ""}, {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"}, {"Authorization": "Bearer x"},
    {"Authorization": "Basic " + "A" * 4000},
    credentials(b"api:"), credentials(b"api"), credentials(b":"),
    credentials(b"api:key-wrong"), credentials(b"api:\xff\xfe"),
    credentials(b"api:key-\0"), credentials(b"api:" + b"k" * 256),
    credentials(b"api:' OR 1=1 --"),
])
def test_without_a_key(env, headers):
    for path in ("/domains", "/%s/log" % env.domain, "/nobody.test/log"):
        r = requests.get(url(env, path), headers=headers)
        assert r.status_code == 401
        assert r.text == "Forbidden"
        assert r.headers["WWW-Authenticate"] == 'Basic realm="MG API"'
        assert not r.headers["Content-Type"].startswith("application/json")


def test_user_must_be_api(env):
    for user in ("", "API", "apix", "admin"):
        r = requests.get(url(env, "/domains"), auth=(user, env.key))
        assert r.status_code == 401, user
    assert requests.get(url(env, "/domains"),
                        auth=("api", env.key)).status_code == 200
    assert requests.get(url(env, "/domains"),
                        auth=("api", env.key[:-1])).status_code == 401
    assert requests.get(url(env, "/domains"),
                        auth=("api", env.key + "x")).status_code == 401


def test_one_account_sees_nothing_of_another(env):
    account, key = env.new_account()
    d = env.domain
    message = {"from": "a@" + d, "to": "b@x.test", "text": "x"}
    for method, path, data, text in [
            ("POST", "/%s/messages" % d, message, "Domain not found: " + d),
            ("GET", "/%s/log" % d, None, "Domain not found: " + d),
            ("GET", "/%s/mailboxes" % d, None, "Domain not found: " + d),
            ("POST", "/%s/mailboxes" % d,
             {"mailbox": "x", "password": "secret"}, "Domain not found: " + d),
            ("PUT", "/%s/mailboxes/postmaster" % d, {"password": "secret"},
             "Domain not found: " + d),
            ("DELETE", "/%s/mailboxes/anna" % d, None,
             "Domain not found: " + d),
            ("GET", "/domains/" + d, None, "Domain not found"),
            ("PUT", "/domains/" + d, {"wildcard": "yes"}, "Domain not found"),
            ("DELETE", "/domains/" + d, None, "Domain not found")]:
        r = env.api(method, path, key=key, data=data)
        assert (r.status_code, r.json()) == (404, {"message": text}), path
    r = env.api("GET", "/domains", key=key)
    assert d not in r.text
    # and one's own key does
    assert env.api("GET", "/domains/" + d).status_code == 200


def test_revoked_key_and_disabled_account(env):
    account, key = env.new_account()
    second = env.ctl("key", "add", account).split()[-1]
    for k in (key, second):
        assert env.api("GET", "/domains", key=k).status_code == 200
    env.ctl("key", "revoke", account, key)
    assert env.api("GET", "/domains", key=key).status_code == 401
    assert env.api("GET", "/domains", key=second).status_code == 200
    env.ctl("account", "set", account, "state=disabled")
    assert env.api("GET", "/domains", key=second).status_code == 401
    env.ctl("account", "set", account, "state=active")
    assert env.api("GET", "/domains", key=second).status_code == 200


def test_key_revoked_on_another_machine(env):
    """Nobody here is told: mailgunctl runs with another run directory."""
    account, key = env.new_account()
    conf = env.dir + "/etc/elsewhere.conf"
    with open(env.dir + "/etc/mailgun.conf") as f, open(conf, "w") as out:
        out.write(re.sub(r"(?m)^MailgunRunDir .*", "MailgunRunDir /nowhere",
                         f.read()))
    assert env.api("GET", "/domains", key=key).status_code == 200
    subprocess.run([env.dir + "/bin/mailgunctl", "-c", conf, "key", "revoke",
                    account, key], check=True, env=env.environment(),
                   stdout=subprocess.DEVNULL)
    env.wait("the key is refused", lambda: env.api(
        "GET", "/domains", key=key).status_code == 401, timeout=5)


# --- what is where ---

def test_unknown_paths(env):
    for path in ("", "/", "/nothing", "/%s/nothing" % env.domain, "/a/b/c/d",
                 "/domains/a/b"):
        r = requests.get(url(env, path))
        assert r.status_code == 404, path
        assert "<title>404 Not Found</title>" in r.text
        assert r.headers["Content-Type"].startswith("text/html")
        r = requests.get(url(env, path, "v3"))
        assert (r.status_code, r.text) == (200, "Mailgun Magnificent API")
        assert r.headers["Content-Type"].startswith("text/plain")


def test_both_versions_and_trailing_slashes(env):
    for version in ("v2", "v3"):
        for path in ("/domains", "/domains/", "/domains/" + env.domain,
                     "/domains/%s/" % env.domain, "/%s/log" % env.domain,
                     "/%s/log/" % env.domain, "/%s/mailboxes/" % env.domain):
            r = requests.get(url(env, path, version), auth=("api", env.key))
            assert r.status_code == 200, (version, path)
            assert r.headers["Content-Type"] == "application/json"


def test_wrong_method(env):
    r = env.api("DELETE", "/%s/log" % env.domain)
    assert r.status_code == 405
    assert "GET" in r.headers["Allow"]
    assert "message" in r.json()
    assert env.api("GET", "/%s/messages" % env.domain).status_code == 405
    assert env.api("PATCH", "/domains").status_code == 405


def test_options_and_cors(env):
    for r in (requests.options(url(env, "/%s/messages" % env.domain)),
              requests.get(url(env, "/domains")),
              env.api("GET", "/domains"),
              requests.get(url(env, "/nothing"))):
        assert r.headers["Access-Control-Allow-Origin"] == "*"
        assert r.headers["Access-Control-Max-Age"] == "600"
        assert r.headers["Access-Control-Allow-Methods"] == \
            "GET, POST, PUT, DELETE, OPTIONS"
        assert r.headers["Access-Control-Allow-Headers"] == \
            "Content-Type, x-requested-with"
    r = requests.options(url(env, "/%s/messages" % env.domain))
    assert r.status_code == 200 and r.text == ""
    assert r.headers["Allow"] == "OPTIONS, POST"


def test_head(env):
    r = env.api("HEAD", "/domains")
    full = env.api("GET", "/domains")
    assert r.status_code == 200 and r.text == ""
    assert r.headers["Content-Length"] == full.headers["Content-Length"]


def test_json_is_pretty_and_inline(env):
    r = env.api("GET", "/domains/" + env.domain)
    assert r.text.startswith('{\n  "domain": {\n    "')
    assert r.headers["Content-Disposition"] == "inline"


def test_domain_in_any_case(env):
    assert env.api("GET", "/domains/" + env.domain.upper()).status_code == 200


def test_other_site_is_untouched(env):
    if not hasattr(env, "site_port"):
        pytest.skip("no other site here")
    site = "http://127.0.0.1:%d" % env.site_port
    assert requests.get(site + "/index.html").text == "another site\n"
    assert requests.get(site + "/v2/domains").status_code == 404
    assert requests.get(site + "/v3/domains").status_code == 404


# --- what is refused, without harm ---

NASTY_PATHS = ["/%00/messages", "/%ff%fe/log", "/domains/%ff",
               "/domains/%e2%86%92", "/domains/..%2f..", "/domains/'",
               "/domains/" + "a" * 3000, "/domains/a%0d%0ab", "//domains",
               "/domains/%2e%2e/domains", "/domains/a.test;x"]


@pytest.mark.parametrize("path", NASTY_PATHS)
def test_nasty_paths(env, path):
    r = env.api("GET", path)
    assert r.status_code in (200, 400, 404)
    assert requests.get(url(env, "/domains"),
                        auth=("api", env.key)).status_code == 200


MULTIPART = "multipart/form-data; boundary=b"
NASTY_BODIES = [
    # (content type, body, statuses)
    (MULTIPART, b"", {400}),
    (MULTIPART, b"--b", {400}),
    (MULTIPART, b"--b\r\n", {400}),
    (MULTIPART, b"--b--", {400}),
    (MULTIPART, b"\0" * 1000, {400}),
    (MULTIPART, b"--b\r\n" + b"x" * 20000, {413}),
    (MULTIPART, b"--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nx",
     {400}),
    (MULTIPART, b"--b\r\nContent-Disposition: form-data; name=\"" +
     b"n" * 2000 + b"\"\r\n\r\nx\r\n--b--", {413}),
    (MULTIPART, b"--b\r\n\0: x\r\n\r\nx\r\n--b--", {400}),
    ("multipart/form-data", b"--b--", {400}),
    ("multipart/form-data; boundary=" + "b" * 300, b"--b--", {400}),
    ("application/json", b'{"from": "x"', {400}),
    ("", b"from=x", {400}),
    ("application/x-www-form-urlencoded", b"&&&===%%%" * 100, {400}),
    ("application/x-www-form-urlencoded", b"a&" * 6000, {413}),
    ("application/x-www-form-urlencoded", b"n" * 5000 + b"=1", {413}),
    ("application/x-www-form-urlencoded",
     b"from=%00&to=%ff%fe&text=%00", {400}),
]


@pytest.mark.parametrize("number", range(len(NASTY_BODIES)))
def test_nasty_bodies(env, number):
    content_type, body, statuses = NASTY_BODIES[number]
    r = env.api("POST", "/%s/messages" % env.domain, data=body,
                headers={"Content-Type": content_type})
    assert r.status_code in statuses, r.text
    assert "message" in r.json()
    assert env.api("GET", "/domains").status_code == 200


def test_malformed_multipart_has_its_text(env):
    r = env.api("POST", "/%s/messages" % env.domain, data=b"--b\r\n",
                headers={"Content-Type": MULTIPART})
    assert r.json() == {"message": "malformed multipart/form-data request"}


def test_body_beyond_the_limit_is_refused_unread(env):
    got = raw(env, header(env, "Content-Type: " + MULTIPART,
                          "Content-Length: 99999999999"))
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b"MiB limit" in got


def test_chunked_body_beyond_the_limit(env):
    piece = b"x" * 1048576
    r = env.api("POST", "/%s/messages" % env.domain,
                data=(piece for _ in range(28)),
                headers={"Content-Type": MULTIPART})
    assert r.status_code == 413
    assert "MiB limit" in r.json()["message"]


def test_body_that_stops_in_the_middle(env):
    got = raw(env, header(
        env, "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: 1000") + b"from=me%40" + env.domain.encode() +
        b"&to=half%40x.test&text=x", shut=True)
    assert not got.startswith(b"HTTP/1.1 200")
    assert "half@x.test" not in env.api(
        "GET", "/%s/log" % env.domain).text


def test_chunked_form_is_taken(env):
    body = ("from=me@%s&to=chunk@x.test&subject=c&text=x" %
            env.domain).encode()
    r = env.api("POST", "/%s/messages" % env.domain,
                data=(bytes([c]) for c in body),
                headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert r.status_code == 200, r.text


def test_keep_alive_after_an_error(env):
    with requests.Session() as s:
        s.auth = ("api", env.key)
        for _ in range(5):
            assert s.post(url(env, "/%s/messages" % env.domain),
                          data={"x": "y"}).status_code == 400
            assert s.get(url(env, "/domains")).status_code == 200


def test_store_down_is_503_and_says_so(own_env):
    env = own_env
    env.expect_log(".")
    data = {"from": "me@" + env.domain, "to": "b@x.test", "text": "x"}
    path = "/%s/messages" % env.domain
    assert env.api("POST", path, data=data).status_code == 200
    for action, status in ((EIO, 503), (ENOSPC, 507)):
        env.faults.set("store.commit.before", action, count=-1)
        r = env.api("POST", path, data=data)
        assert r.status_code == status, r.text
        assert "message" in r.json()
        env.faults.clear()
        assert "domain %s: cannot store a message" % env.domain in \
            env.log_text("httpd")
        assert env.api("POST", path, data=data).status_code == 200
