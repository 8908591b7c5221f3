"""/<domain>/mailboxes: the manual's calls, errors, logins that follow."""
import imaplib
import smtplib
import ssl

import pytest


@pytest.fixture(scope="module")
def place(stack):
    """A domain of this file's own."""
    return stack.new_domain()


def boxes(env, d, **params):
    r = env.api("GET", "/%s/mailboxes" % d, params=params)
    assert r.status_code == 200, r.text
    return r.json()


def create(env, d, mailbox, password="secret"):
    return env.api("POST", "/%s/mailboxes" % d,
                   data={"mailbox": mailbox, "password": password})


def test_manual_calls(env, place):
    d = place
    r = env.api("POST", "/%s/mailboxes" % d, files=[
        ("mailbox", (None, "user@" + d)), ("password", (None, "supasecret"))])
    assert (r.status_code, r.json()) == (
        200, {"message": "Created 1 mailboxes"})
    assert create(env, d, "sergeyo").json() == {
        "message": "Created 1 mailboxes"}
    reply = boxes(env, d)
    assert [i["mailbox"] for i in reply["items"]] == [
        "postmaster@" + d, "sergeyo@" + d, "user@" + d]
    assert reply["total_count"] == 3
    for item in reply["items"]:
        assert sorted(item) == ["created_at", "mailbox", "size_bytes"]
        assert item["size_bytes"] is None
        assert item["created_at"].endswith(" GMT")
    assert boxes(env, d, skip=1, limit=1)["items"] == reply["items"][1:2]

    for path in ("sergeyo", "sergeyo@" + d, "SERGEYO@" + d.upper(),
                 "sergeyo%40" + d):
        r = env.api("PUT", "/%s/mailboxes/%s" % (d, path),
                    data={"password": "supersecret"})
        assert (r.status_code, r.json()) == (
            200, {"message": "Password changed"}), path
    r = env.api("PUT", "/%s/mailboxes/user" % d, params={"password": "abc123"})
    assert r.json() == {"message": "Password changed"}

    r = env.api("DELETE", "/%s/mailboxes/sergeyo" % d)
    assert (r.status_code, r.json()) == (
        200, {"message": "Mailbox has been deleted", "spec": "sergeyo@" + d})
    assert [i["mailbox"] for i in boxes(env, d)["items"]] == [
        "postmaster@" + d, "user@" + d]
    # the same address again is another mailbox
    assert create(env, d, "sergeyo").status_code == 200


def test_duplicate(env, place):
    assert create(env, place, "twice").status_code == 200
    for mailbox in ("twice", "TWICE", "twice@" + place):
        r = create(env, place, mailbox)
        assert r.status_code == 400
        assert r.json()["message"].lower() == (
            "address already exists 'twice@%s'" % place)


@pytest.mark.parametrize("data, text", [
    ({}, "Parameter 'mailbox' is missing"),
    ({"mailbox": "x"}, "Parameter 'password' is missing"),
    ({"mailbox": "x", "password": "1234"},
     "Password is too short. It must be between 5 and 32 characters."),
    ({"mailbox": "x", "password": "1" * 33},
     "Password is too long. It must be between 5 and 32 characters."),
    ({"mailbox": "x", "password": "\u00e4" * 4},
     "Password is too short. It must be between 5 and 32 characters."),
    ({"mailbox": "x", "password": "new\nline"},
     "Password is not valid: a password has no control characters"),
    ({"mailbox": "x@elsewhere.test", "password": "12345"},
     "'mailbox' parameter is not a valid address. please check "
     "documentation"),
    ({"mailbox": "a b", "password": "12345"},
     "'mailbox' parameter is not a valid address. please check "
     "documentation"),
    ({"mailbox": "x" * 65, "password": "12345"},
     "'mailbox' parameter is not a valid address. please check "
     "documentation"),
])
def test_errors(env, place, data, text):
    r = env.api("POST", "/%s/mailboxes" % place, data=data)
    assert (r.status_code, r.json()) == (400, {"message": text})


def test_password_of_other_letters(env, place):
    """32 characters, whatever they weigh."""
    assert create(env, place, "letters",
                  password="\u00e4" * 32).status_code == 200


def test_not_found(env, place):
    for path in ("nobody", "nobody@elsewhere.test", "%ff"):
        r = env.api("PUT", "/%s/mailboxes/%s" % (place, path),
                    data={"password": "secret"})
        assert (r.status_code, r.json()) == (
            404, {"message": "Mailbox not found"})
        r = env.api("DELETE", "/%s/mailboxes/%s" % (place, path))
        assert r.status_code == 404


def test_postmaster_stays(env, place):
    r = env.api("DELETE", "/%s/mailboxes/postmaster" % place)
    assert (r.status_code, r.json()) == (
        400, {"message": "Cannot delete system mailbox: postmaster@" + place})
    r = env.api("PUT", "/%s/mailboxes/postmaster" % place,
                data={"password": "another"})
    assert r.json() == {"message": "Password changed"}


def test_password_lengths_in_full(env, place):
    assert create(env, place, "short", "12345").status_code == 200
    assert create(env, place, "long", "x" * 32).status_code == 200


# --- the same as credentials, and quota ---

def test_credentials(env):
    d = env.new_domain()
    path = "/domains/%s/credentials" % d
    r = env.api("POST", path, data={"login": "alice", "password": "secret"})
    assert (r.status_code, r.json()) == (
        200, {"message": "Created 1 credentials pair(s)"})
    reply = env.api("GET", path).json()
    assert reply["total_count"] == 2
    assert [i["login"] for i in reply["items"]] == ["alice@" + d,
                                                    "postmaster@" + d]
    for item in reply["items"]:
        assert sorted(item) == ["created_at", "login", "mailbox", "size_bytes"]
    assert env.api("GET", path, params={"skip": 1}).json()["items"] == \
        reply["items"][1:]
    r = env.api("PUT", path + "/alice", data={"password": "abc123"})
    assert (r.status_code, r.json()) == (200, {"message": "Password changed"})
    r = env.api("DELETE", path + "/alice@" + d)
    assert (r.status_code, r.json()) == (
        200, {"message": "Credentials have been deleted",
              "spec": "alice@" + d})
    for method in ("PUT", "DELETE"):
        r = env.api(method, path + "/alice", data={"password": "abc123"})
        assert (r.status_code, r.json()) == (
            404, {"message": "Credentials not found"})


@pytest.mark.parametrize("data, text", [
    ({}, "Parameter 'login' is missing"),
    ({"login": "x"}, "Parameter 'password' is missing"),
    ({"login": "x", "password": "1234"},
     "Password is too short. It must be between 5 and 32 characters."),
    ({"login": "x@elsewhere.test", "password": "12345"},
     "'login' parameter is not a valid address. please check documentation"),
    ({"login": "postmaster", "password": "12345"},
     "Address already exists 'postmaster@{}'"),
])
def test_credentials_errors(env, place, data, text):
    r = env.api("POST", "/domains/%s/credentials" % place, data=data)
    assert (r.status_code, r.json()["message"]) == (400, text.format(place))


def login_smtp(env, user, password):
    context = ssl.create_default_context(cafile=env.dir + "/etc/cert.pem")
    with smtplib.SMTP("localhost", env.submission_port, timeout=30) as s:
        s.starttls(context=context)
        s.login(user, password)


def test_a_credential_sends_and_no_more(env):
    d = env.new_domain()
    path = "/domains/%s/credentials" % d
    env.api("POST", path, data={"login": "Bob@" + d, "password": "secret"})
    login_smtp(env, "bob@" + d, "secret")
    with pytest.raises(imaplib.IMAP4.error):
        imaplib.IMAP4_SSL(
            "127.0.0.1", env.imaps_port,
            ssl_context=ssl._create_unverified_context()).login(
                "bob@" + d, "secret")
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo()
        s.mail("al@example.net")
        code, words = s.rcpt("bob@" + d)
    assert (code, words[:5]) == (550, b"5.1.1")
    assert [i["mailbox"] for i in env.api("GET", "/%s/mailboxes" % d).json()[
        "items"]] == ["postmaster@" + d]
    # a mailbox is a credential, too
    env.api("POST", "/%s/mailboxes" % d, data={"mailbox": "al",
                                               "password": "secret"})
    logins = [i["login"].split("@")[0] for i in env.api("GET", path).json()[
        "items"]]
    assert logins == ["al", "bob", "postmaster"]
    assert env.api("PUT", path + "/al", data={
        "password": "another"}).status_code == 200
    login_smtp(env, "al@" + d, "another")
    assert env.api("PUT", path + "/bob", data={
        "password": "another"}).status_code == 200
    with pytest.raises(smtplib.SMTPAuthenticationError):
        login_smtp(env, "bob@" + d, "secret")
    login_smtp(env, "bob@" + d, "another")
    assert env.api("DELETE", path).status_code in (404, 405)
    r = env.http.delete(env.api_url.replace("/v2", "/v3") + path,
                        auth=("api", env.key), timeout=60)
    assert (r.status_code, r.json()) == (200, {
        "message": "All domain credentials have been deleted", "count": 1})
    with pytest.raises(smtplib.SMTPAuthenticationError):
        login_smtp(env, "bob@" + d, "another")
    login_smtp(env, "al@" + d, "another")


def test_system_credentials_stay(env, place):
    r = env.api("DELETE", "/domains/%s/credentials/postmaster" % place)
    assert (r.status_code, r.json()) == (
        400, {"message": "Cannot delete system mailbox: postmaster@" + place})


def test_quota_by_api(env, place):
    r = env.api("POST", "/%s/mailboxes" % place, data={
        "mailbox": "small", "password": "secret", "quota": "1M"})
    assert r.json() == {"message": "Created 1 mailboxes"}

    def shown():
        out = env.ctl("mailbox", "list", place)
        return [line for line in out.splitlines() if "small@" in line][0]
    assert "1M" in shown()
    r = env.api("PUT", "/%s/mailboxes/small" % place, data={"quota": "2M"})
    assert (r.status_code, r.json()) == (200, {"message": "Quota changed"})
    assert "2M" in shown()
    r = env.api("PUT", "/%s/mailboxes/small" % place, data={
        "quota": "default", "password": "another"})
    assert r.json() == {"message": "Password changed"}
    assert "2M" not in shown()
    r = env.api("PUT", "/%s/mailboxes/small" % place, data={})
    assert r.json() == {"message": "Parameter 'password' is missing"}
