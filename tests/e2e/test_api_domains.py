"""/domains: list, show, add, change, remove."""
import itertools
import os
import re

import pytest

counter = itertools.count(1)


def name():
    return "api%d-%d.test" % (os.getpid(), next(counter))


def create(env, **more):
    data = {"name": name(), "smtp_password": "supersecret"}
    data.update(more)
    return env.api("POST", "/domains", data=data), data["name"]


def test_life_of_a_domain(env):
    r, d = create(env, wildcard="true", spam_action="tag")
    assert r.status_code == 200, r.text
    reply = r.json()
    assert reply["message"] == "Domain has been created"
    assert reply["domain"]["name"] == d
    assert reply["domain"]["smtp_login"] == "postmaster@" + d
    assert reply["domain"]["smtp_password"] == "supersecret"
    assert reply["domain"]["wildcard"] is True
    assert reply["domain"]["spam_action"] == "tag"
    assert reply["domain"]["state"] in ("active", "unverified")
    mx = reply["receiving_dns_records"]
    assert [m["record_type"] for m in mx] == ["MX"] * len(mx)
    assert {m["valid"] for m in mx} == {"unknown"}
    sending = reply["sending_dns_records"]
    assert [s["record_type"] for s in sending] == ["TXT", "TXT", "TXT",
                                                   "CNAME"]
    assert sending[0]["value"].startswith("v=spf1 ")
    assert re.fullmatch(r"\w+\._domainkey\." + re.escape(d),
                        sending[1]["name"])
    assert re.fullmatch(r"k=rsa; p=[A-Za-z0-9+/=]{300,}",
                        sending[1]["value"])
    assert sending[2]["name"] == "mge._domainkey." + d
    assert re.fullmatch(r"v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}=",
                        sending[2]["value"])
    assert sending[3]["name"] == "email." + d

    shown = env.api("GET", "/domains/" + d).json()
    assert shown["domain"].pop("smtp_password") is None
    reply["domain"].pop("smtp_password")
    reply.pop("message")
    assert shown == reply
    assert d in [i["name"] for i in env.api(
        "GET", "/domains", params={"limit": 1000}).json()["items"]]
    # its mailbox, and mail from it
    boxes = env.api("GET", "/%s/mailboxes" % d).json()["items"]
    assert [b["mailbox"] for b in boxes] == ["postmaster@" + d]
    assert env.api("POST", "/%s/messages" % d, data={
        "from": "a@" + d, "to": "b@x.test", "text": "x",
        "o:testmode": "yes"}).status_code == 200

    r = env.api("DELETE", "/domains/" + d)
    assert (r.status_code, r.json()) == (
        200, {"message": "Domain has been deleted"})
    for method in ("GET", "DELETE"):
        r = env.api(method, "/domains/" + d)
        assert (r.status_code, r.json()) == (
            404, {"message": "Domain not found"})
    assert env.api("GET", "/%s/log" % d).status_code == 404


def test_list_is_paged(env):
    account, key = env.new_account()
    names = sorted(create(env)[1] for _ in range(1)) and []
    for _ in range(5):
        d = name()
        assert env.api("POST", "/domains", key=key, data={
            "name": d, "smtp_password": "supersecret"}).status_code == 200
        names.append(d)
    got = []
    for skip in (0, 2, 4):
        page = env.api("GET", "/domains", key=key,
                       params={"skip": skip, "limit": 2}).json()
        assert page["total_count"] == 5
        got += [i["name"] for i in page["items"]]
    assert got == sorted(names)
    item = page["items"][0]
    assert sorted(item) == sorted([
        "name", "created_at", "smtp_login", "smtp_password", "wildcard",
        "spam_action", "state"])


def test_name_is_taken(env):
    r, d = create(env)
    account, key = env.new_account()
    for k in (env.key, key):
        r = env.api("POST", "/domains", key=k,
                    data={"name": d.upper(), "smtp_password": "supersecret"})
        assert (r.status_code, r.json()) == (
            400, {"message": "This domain name is already taken"})


@pytest.mark.parametrize("data, text", [
    ({}, "Parameter 'name' is missing"),
    ({"name": "x.test"}, "Parameter 'smtp_password' is missing"),
    ({"name": "x.test", "smtp_password": "1234"},
     "Password is too short. It must be between 5 and 32 characters."),
    ({"name": "x.test", "smtp_password": "1" * 33},
     "Password is too long. It must be between 5 and 32 characters."),
    ({"name": "no domain", "smtp_password": "12345"},
     "'no domain' is not a valid domain name"),
    ({"name": "localhost", "smtp_password": "12345"},
     "'localhost' is not a valid domain name"),
])
def test_errors(env, data, text):
    r = env.api("POST", "/domains", data=data)
    assert (r.status_code, r.json()) == (400, {"message": text})


@pytest.mark.parametrize("bad", [{"spam_action": "eat"},
                                 {"wildcard": "perhaps"}])
def test_bad_settings_change_nothing(env, bad):
    r, d = create(env, **bad)
    assert r.status_code == 400
    assert list(bad)[0] in r.json()["message"]
    assert env.api("GET", "/domains/" + d).status_code == 404


@pytest.mark.parametrize("setting, given, shown", [
    ("dkim", "no", "false"), ("local", "no", "no"),
    ("quota_bytes", "25M", "26214400"), ("restrict_from", "Yes", "yes"),
    ("spam_action", "tag", "tag"), ("wildcard", "yes", "true"),
    ("track_clicks", "htmlonly", "htmlonly"), ("track_opens", "yes", "true"),
    ("unsubscribe", "1", "true"), ("unsubscribe_text", "bye", "bye"),
    ("webhook.deliver", "https://hooks.test/x", "https://hooks.test/x")])
def test_put_and_domain_set_are_twins(env, setting, given, shown):
    """Each takes what the other takes, and sees what the other did."""
    d, other = env.new_domain(), env.new_domain()
    pattern = r"(?m)^  %s +%s  " % (re.escape(setting), re.escape(shown))
    assert not re.search(pattern, env.ctl("domain", "show", d))
    r = env.api("PUT", "/domains/" + d, data={setting: given})
    assert r.status_code == 200, r.text
    assert re.search(pattern, env.ctl("domain", "show", d))
    env.ctl("domain", "set", other, "%s=%s" % (setting, given))
    assert re.search(pattern, env.ctl("domain", "show", other))
    ours = [env.api("GET", "/domains/" + name).json()["domain"]
            for name in (d, other)]
    for domain in ours:
        for varies in ("name", "smtp_login", "created_at"):
            domain.pop(varies)
    assert ours[0] == ours[1]


def test_twins_know_the_same_settings(env):
    """What mailgunctl shows is what was tried above."""
    shown = env.ctl("domain", "show", env.new_domain())
    assert re.findall(r"(?m)^  (\S+) .*", shown.split("DNS records")[0]) == [
        "dkim", "local", "quota_bytes", "require_tls", "restrict_from",
        "sending_ip", "sending_pool", "skip_verification", "spam_action",
        "track_clicks", "track_opens", "unsubscribe", "unsubscribe_html",
        "unsubscribe_text",
        "webhook.bounce", "webhook.click", "webhook.deliver", "webhook.drop",
        "webhook.open", "webhook.spam", "webhook.unsubscribe", "wildcard"]


def test_tracking_by_version_3(env):
    d = env.new_domain()
    base = "/../v3/domains/%s/tracking" % d
    assert env.api("GET", base).json() == {"tracking": {
        "open": {"active": False}, "click": {"active": False},
        "unsubscribe": {
            "active": False,
            "html_footer": '\n<br>\n<p><a href="%unsubscribe_url%">unsubscribe'
                           '</a></p>\n',
            "text_footer": "\n\nTo unsubscribe click: <%unsubscribe_url%>"
                           "\n\n"}}}
    for kind, data, shown in (
            ("open", {"active": "yes"}, {"active": True}),
            ("click", {"active": "htmlonly"}, {"active": "htmlonly"}),
            ("unsubscribe", {"active": "true", "html_footer": "<i>b\u00fc</i>",
                             "text_footer": ""},
             {"active": True, "html_footer": "<i>b\u00fc</i>",
              "text_footer": ""})):
        r = env.api("PUT", base + "/" + kind, data=data)
        assert r.json() == {
            "message": "Domain tracking settings have been updated",
            kind: shown}, r.text
        assert env.api("GET", base).json()["tracking"][kind] \
            == shown
    for kind, data, status in (("open", {"active": "so so"}, 400),
                               ("click", {}, 400), ("else", {}, 404)):
        r = env.api("PUT", base + "/" + kind, data=data)
        assert r.status_code == status and r.json()["message"]
    assert env.api("GET", "/domains/%s/tracking" % d).status_code == 404


def test_settings(env):
    r, d = create(env)
    r = env.api("PUT", "/domains/" + d, data={
        "spam_action": "block", "wildcard": "yes",
        "webhook.deliver": "https://hooks.test/x"})
    assert r.status_code == 200, r.text
    assert r.json()["message"] == "Domain has been updated"
    assert r.json()["domain"]["spam_action"] == "block"
    assert r.json()["domain"]["wildcard"] is True
    # some clients put them in the query
    r = env.api("PUT", "/domains/" + d, params={"wildcard": "False"})
    assert r.json()["domain"]["wildcard"] is False
    assert r.json()["domain"]["spam_action"] == "block"
    r = env.api("PUT", "/domains/" + d, data={
        "wildcard": "true", "spam_action": "eat"})
    assert r.status_code == 400
    assert env.api("GET", "/domains/" + d).json()["domain"]["wildcard"] \
        is False
    r = env.api("PUT", "/domains/" + d, data={"nothing": "known"})
    assert r.status_code == 400
