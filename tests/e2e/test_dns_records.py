"""What the keeper sees of a domain's DNS records, and what follows: validity in
the API, active domains, keys that begin to sign, mail that stays here."""
import re

import pytest

from tests.stack import verifiers
from tests.stack.nameserver import Nameserver

HOST = "mail.mailgun.test"


@pytest.fixture(scope="module")
def dns(tmp_path_factory):
    with Nameserver(tmp_path_factory.mktemp("dns")) as server:
        yield server


@pytest.fixture
def by_dns(own_env, dns):
    """A stack that asks that server."""
    env = own_env
    path = env.dir + "/etc/mailgun.conf"
    with open(path) as f:
        text = f.read()
    text = text.replace("MailgunTrackingForce on\n", "")
    with open(path, "w") as f:
        f.write(re.sub(r"MailgunResolver .*", "MailgunResolver 127.0.0.1:%d"
                       % dns.port, text))
    env.restart("smtpd")
    env.restart("httpd")
    return env


def shown(env, d):
    return env.api("GET", "/domains/" + d).json()


def validity(env, d):
    """{"MX": "valid", "SPF": ..., "mg": ..., "mge": ..., "CNAME": ...}"""
    reply = shown(env, d)
    found = {"MX": reply["receiving_dns_records"][0]["valid"]}
    for r in reply["sending_dns_records"]:
        name = r["record_type"]
        if name == "TXT":
            name = r["name"].split("._domainkey")[0] \
                if "_domainkey" in r["name"] else "SPF"
        found[name] = r["valid"]
    return found


def state(env, d):
    return shown(env, d)["domain"]["state"]


def all_of(value, **others):
    return dict(dict.fromkeys(("MX", "SPF", "mg", "mge", "CNAME"), value),
                **others)


def right(env, d, **more):
    """A zone with everything as the API says."""
    reply = shown(env, d)
    zone = {"txt": {}, "cname": {}, "mx": {d: [
        r["value"] for r in reply["receiving_dns_records"]]}}
    for r in reply["sending_dns_records"]:
        if r["record_type"] == "TXT":
            zone["txt"][r["name"]] = [r["value"]]
        else:
            zone["cname"][r["name"]] = r["value"]
    zone.update(more)
    return zone


@pytest.mark.both
def test_right_wrong_missing_and_no_answer(by_dns, dns):
    env = by_dns
    dns.zone()
    d = env.new_domain()
    # a new domain is looked at by itself, at once
    env.wait("the first look", lambda: validity(env, d) == all_of("invalid"),
             timeout=10)
    assert state(env, d) == "unverified"

    dns.zone(**right(env, d))
    out = env.ctl("domain", "verify", d)
    assert "domain %s is active" % d in out
    assert validity(env, d) == all_of("valid")
    assert state(env, d) == "active"

    good = right(env, d)
    dns.zone(mx={d: ["mx.other.test"]},
             txt={d: ["v=spf1 include:other.test -all", "unrelated"],
                  "mg._domainkey." + d: ["k=rsa; p=AAAA"],
                  "mge._domainkey." + d: ["v=DKIM1; k=ed25519; p="]},
             cname={"email." + d: "other.test"})
    out = env.ctl("domain", "verify", d)
    assert validity(env, d) == all_of("invalid")
    assert "mx.other.test" in out and "v=spf1 include:other.test" in out
    assert state(env, d) == "active"  # mail that flows is not stopped

    # one of two: valid MX, others as they should be, SPF twice
    good["mx"] = {d: ["mx.other.test", HOST]}
    good["txt"][d] = ["v=spf1 a:%s ~all" % HOST, "v=spf1 -all"]
    dns.zone(**good)
    env.ctl("domain", "verify", d)
    assert validity(env, d) == all_of("valid", SPF="invalid")

    # no answer is no verdict
    dns.zone(servfail=[d])
    out = env.ctl("domain", "verify", d)
    assert validity(env, d) == all_of("unknown")
    assert "no answer" in out
    dns.zone()
    env.ctl("domain", "verify", d)
    assert validity(env, d) == all_of("invalid")


def test_silence(by_dns, dns):
    env = by_dns
    d = env.new_domain()
    dns.zone(silent=[d])
    out = env.ctl("domain", "verify", d)
    assert validity(env, d) == all_of("unknown")
    assert "no answer" in out


@pytest.mark.both
def test_hourly_and_by_api(by_dns, dns):
    env = by_dns
    dns.zone()
    d = env.new_domain()
    env.wait("the first look", lambda: validity(env, d) == all_of("invalid"))
    dns.zone(**right(env, d))
    env.faults.advance(3800) # an hour, and up to 5 % by which they are spread
    env.wait("the next look", lambda: validity(env, d) == all_of("valid"))
    dns.zone()
    r = env.http.put(env.api_url.replace("/v2", "/v3") + "/domains/%s/verify"
                     % d, auth=("api", env.key))
    assert r.status_code == 200, r.text
    assert r.json()["message"] == "Domain DNS records have been updated"
    assert r.json()["receiving_dns_records"][0]["valid"] == "invalid"
    r = env.api("PUT", "/domains/nobody.test/verify")
    assert r.status_code == 404


@pytest.mark.both
def test_keys_switch_when_they_are_published(by_dns, dns):
    env = by_dns
    d = env.new_domain()
    dns.zone(**right(env, d))
    env.ctl("domain", "verify", d)
    env.ctl("domain", "rotate-dkim", d)
    env.ctl("domain", "verify", d)
    assert validity(env, d)["mg2"] == "invalid"

    def selectors(to):
        env.api("POST", "/%s/messages" % d, data={
            "from": "me@" + d, "to": to, "text": "x"})
        line = env.wait_mx(to)[0]
        return [s for _, s in verifiers.signatures(
            env.mx_content(line).split(b"\r\n", 2)[2])]

    assert selectors("a@%s.out" % d) == ["mg", "mge"]
    zone = right(env, d)
    zone["txt"].pop("mge2._domainkey." + d)
    dns.zone(**zone)
    out = env.ctl("domain", "verify", d)
    assert re.search(r"mg2\._domainkey\S+ +valid +signs", out)
    assert re.search(r"mge2\._domainkey\S+ +invalid +waits", out)
    assert selectors("b@%s.out" % d) == ["mg2", "mge"]
    dns.zone(**right(env, d))
    env.ctl("domain", "verify", d)
    assert selectors("c@%s.out" % d) == ["mg2", "mge2"]


@pytest.mark.both
def test_mail_to_our_own_domains(by_dns, dns):
    """It stays here where the MX is ours; a domain that only sends has its mail
    delivered to its real MX; local says otherwise."""
    env = by_dns
    ours, far = env.new_domain(), env.new_domain()
    sent = iter(range(100))

    def goes(d, local="postmaster"):
        """What became of a message to it: "lmtp", "smtp" or the failure."""
        subject = "routed %d" % next(sent)
        r = env.api("POST", "/%s/messages" % env.domain, data={
            "from": "me@" + env.domain, "to": "%s@%s" % (local, d),
            "subject": subject, "text": "x"})
        message_id = r.json()["id"].strip("<>")

        def look():
            items = env.api("GET", "/%s/log" % env.domain).json()["items"]
            # the MX has what it took before the log says so
            if any(m["message_id"] == message_id
                   for m in env.mx_messages("%s@%s" % (local, d))):
                return "smtp"
            for i in items:
                if i["message_id"] == message_id and i["hap"] in (
                        "delivered", "bounced", "dropped"):
                    return "lmtp" if i["hap"] == "delivered" else i["message"]
        return env.wait("an end of " + subject, look)

    # nobody knows yet: it stays where somebody wants it
    dns.zone(servfail=[ours, far])
    env.ctl("domain", "verify", ours)
    assert goes(ours) == "lmtp"

    dns.zone(mx={ours: [HOST], far: ["mx.other.test"]})
    env.ctl("domain", "verify", ours)
    env.ctl("domain", "verify", far)
    assert goes(ours) == "lmtp"
    assert goes(far) == "smtp"
    assert "550" in goes(ours, "nobody")
    env.ctl("domain", "set", far, "local=yes")
    env.ctl("domain", "set", ours, "local=no")
    assert goes(far) == "lmtp"
    assert goes(ours) == "smtp"
    # no answer leaves it as it was
    env.ctl("domain", "set", far, "local=auto")
    dns.zone(servfail=[ours, far])
    env.ctl("domain", "verify", far)
    assert validity(env, far)["MX"] == "unknown"
    assert goes(far) == "smtp"


@pytest.mark.both
def test_nothing_is_tracked_while_the_tracking_host_is_missing(by_dns, dns):
    env, d = by_dns, by_dns.new_domain()
    env.ctl("domain", "set", d, "track_clicks=yes", "unsubscribe=yes")

    def body(name, zone):
        dns.zone(**zone)
        env.ctl("domain", "verify", d)
        to = "%s@%s.out" % (name, d)
        r = env.api("POST", "/%s/messages" % d, data={
            "from": "me@" + d, "to": to, "subject": "x",
            "text": "http://x.test/"})
        assert r.status_code == 200, r.text
        return env.mx_content(env.wait_mx(to)[0]).decode()

    good = right(env, d)
    missing = body("missing", dict(good, cname={}))
    assert "http://x.test/" in missing and "List-Unsub" not in missing
    there = body("there", good)
    assert "http://x.test/" not in there
    assert "http://email.%s/c/" % d in there and "List-Unsubscribe" in there
    # a resolver that fails says nothing new
    assert "http://email.%s/c/" % d in body("fails", {"servfail": [d]})
    assert "http://x.test/" in body("wrong", dict(
        good, cname={"email." + d: "other.test"}))
