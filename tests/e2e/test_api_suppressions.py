"""/<domain>/bounces, /complaints, /unsubscribes: the calls of version 2 key by
key, odd addresses, what rows stop and let through; version 3."""
import re
import smtplib
from urllib.parse import parse_qs, quote, urlparse

import pytest

DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")


@pytest.fixture(scope="module")
def place(stack):
    return stack.new_domain()


def call(env, method, path, status=200, **kwargs):
    r = env.api(method, path, **kwargs)
    assert r.status_code == status, r.text
    assert r.headers["Content-Type"].startswith("application/json")
    return r.json()


def v3(env, method, path, status=200, **kwargs):
    kwargs.setdefault("auth", ("api", env.key))
    r = env.http.request(method, env.api_url[:-1] + "3" + path, timeout=60,
                         **kwargs)
    assert r.status_code == status, r.text
    return r.json()


def undated(item):
    assert DATE.fullmatch(item.pop("created_at"))
    return item


def log(env, d, hap):
    return [i for i in call(env, "GET", "/%s/log" % d,
                            params={"limit": 1000})["items"]
            if i["hap"] == hap]


def send(env, d, to, **fields):
    data = {"from": "me@" + d, "to": to, "subject": "hi", "text": "there"}
    data.update(fields)
    return call(env, "POST", "/%s/messages" % d, data=data)["id"].strip("<>")


@pytest.mark.both
def test_bounces(env, place):
    d = place
    assert call(env, "GET", "/%s/bounces" % d) == {
        "total_count": 0, "items": []}
    assert call(env, "POST", "/%s/bounces" % d,
                data={"address": "bob@example.test"}) == {
        "message": "Address has been added to the bounces table",
        "address": "bob@example.test"}
    call(env, "POST", "/%s/bounces" % d, files=[
        ("address", (None, "baz@example.test")), ("code", (None, "552")),
        ("error", (None, "Mailbox is full"))])
    reply = call(env, "GET", "/%s/bounces" % d)
    assert reply["total_count"] == 2
    assert [undated(i) for i in reply["items"]] == [
        {"code": 552, "address": "baz@example.test",
         "error": "Mailbox is full"},
        {"code": 550, "address": "bob@example.test", "error": ""}]
    page = call(env, "GET", "/%s/bounces" % d,
                params={"skip": 1, "limit": 1})
    assert page["total_count"] == 2
    assert [i["address"] for i in page["items"]] == ["bob@example.test"]
    reply = call(env, "GET", "/%s/bounces/baz@example.test" % d)
    assert sorted(reply) == ["bounce"]
    assert undated(reply["bounce"]) == {
        "code": 552, "address": "baz@example.test",
        "error": "Mailbox is full"}
    # an upsert, by another spelling
    call(env, "POST", "/%s/bounces" % d,
         data={"address": "BAZ@Example.test", "code": 553})
    reply = call(env, "GET", "/%s/bounces/BaZ@example.test" % d)["bounce"]
    assert (reply["code"], reply["error"]) == (553, "")
    assert call(env, "GET", "/%s/bounces" % d)["total_count"] == 2
    assert call(env, "DELETE", "/%s/bounces/bob@example.test" % d) == {
        "message": "Bounced address has been removed",
        "address": "bob@example.test"}
    for method in ("GET", "DELETE"):
        assert call(env, method, "/%s/bounces/bob@example.test" % d, 404) == {
            "message": "Address not found in bounces table"}
    assert call(env, "GET", "/%s/bounces" % d)["total_count"] == 1


@pytest.mark.both
def test_complaints(env, place):
    d = place
    assert call(env, "POST", "/%s/complaints" % d,
                data={"address": "bob@example.test"}) == {
        "message": "Address has been added to the complaints table",
        "address": "bob@example.test"}
    reply = call(env, "GET", "/%s/complaints" % d)
    assert reply["total_count"] == 1
    assert [undated(i) for i in reply["items"]] == [
        {"count": 1, "address": "bob@example.test"}]
    call(env, "POST", "/%s/complaints" % d,
         data={"address": "Bob <bob@example.test>"})
    reply = call(env, "GET", "/%s/complaints/bob@example.test" % d)
    assert undated(reply["complaint"]) == {
        "count": 2, "address": "bob@example.test"}
    assert call(env, "DELETE", "/%s/complaints/bob@example.test" % d) == {
        "message": "Spam complaint has been removed",
        "address": "bob@example.test"}
    for method in ("GET", "DELETE"):
        assert call(env, method, "/%s/complaints/bob@example.test" % d,
                    404) == {
            "message": "No spam complaints found for this address"}


@pytest.mark.both
def test_unsubscribes(env, place):
    d = place
    for tag in ("*", "tag1"):
        assert call(env, "POST", "/%s/unsubscribes" % d,
                    data={"address": "bob@example.test", "tag": tag}) == {
            "message": "Address has been added to the unsubscribes table",
            "address": "bob@example.test"}
    call(env, "POST", "/%s/unsubscribes" % d,
         data={"address": "alice@example.test", "tag": "*"})
    reply = call(env, "GET", "/%s/unsubscribes" % d)
    assert reply["total_count"] == 3
    assert [(i["address"], i["tag"]) for i in reply["items"]] == [
        ("alice@example.test", "*"), ("bob@example.test", "*"),
        ("bob@example.test", "tag1")]
    for item in reply["items"]:
        assert sorted(undated(item)) == ["address", "id", "tag"]
        assert re.fullmatch("[0-9a-f]{24}", item["id"])
    of_bob = call(env, "GET", "/%s/unsubscribes/bob@example.test" % d)
    assert sorted(of_bob) == ["items", "total_count"]
    assert of_bob["total_count"] == len(of_bob["items"]) == 2
    gone = {"message": "Unsubscribe event has been removed",
            "address": "bob@example.test"}
    # by tag, by id, by address
    path = "/%s/unsubscribes/" % d
    assert call(env, "DELETE", path + "bob@example.test", 404,
                params={"tag": "other"}) == {
        "message": "Unsubscribe event for this tag does not exist"}
    assert call(env, "DELETE", path + "bob@example.test",
                params={"tag": "tag1"}) == gone
    assert call(env, "GET", path + "bob@example.test")["total_count"] == 1
    assert call(env, "DELETE", path + of_bob["items"][0]["id"]) == gone
    for name in ("bob@example.test", of_bob["items"][0]["id"], "nobody"):
        for method in ("GET", "DELETE"):
            assert call(env, method, path + name, 404) == {
                "message": "Address not found in unsubscribers table"}
    call(env, "POST", "/%s/unsubscribes" % d,
         data={"address": "alice@example.test", "tag": "tag1"})
    assert call(env, "DELETE", path + "alice@example.test")["address"] == (
        "alice@example.test")
    assert call(env, "GET", "/%s/unsubscribes" % d)["total_count"] == 0


@pytest.mark.parametrize("address", [
    "a/b@x.test", "100%2F@x.test", "a+b@x.test", "x=y?z#1@x.test",
    "who&what@x.test", "o'neil@x.test", '"two words"@x.test',
    "\u00fcber@x.test", "a%b@x.test", "~{|}^`$!*@x.test",
])
def test_odd_addresses(env, place, address):
    d = place
    for table in ("bounces", "unsubscribes"):
        added = call(env, "POST", "/%s/%s" % (d, table),
                     data={"address": address, "tag": "*"})
        path = "/%s/%s/%s" % (d, table, quote(added["address"], safe=""))
        found = call(env, "GET", path)
        found = found["bounce"] if table == "bounces" else found["items"][0]
        assert found["address"] == added["address"] == address
        call(env, "DELETE", path)
        call(env, "GET", path, 404)


@pytest.mark.parametrize("table, data, text", [
    ("bounces", {}, "'address' parameter is missing"),
    ("complaints", {"address": ""}, "'address' parameter is missing"),
    ("bounces", {"address": "nobody"}, "'address' parameter is not a valid "
     "address. please check documentation"),
    ("bounces", {"address": "a@x.test", "code": "many"},
     "'code' parameter is not a valid number"),
    ("bounces", {"address": "a@x.test", "error": "x" * 5000},
     "'error' parameter is too long"),
    ("unsubscribes", {"address": "a@x.test"}, "'tag' parameter is missing"),
    ("unsubscribes", {"address": "a@x.test", "tag": "\u00fc"},
     "'tag' parameter is not a valid tag"),
    ("unsubscribes", {"address": "a@x.test", "tag": "t" * 129},
     "'tag' parameter is not a valid tag"),
])
def test_errors(env, place, table, data, text):
    assert call(env, "POST", "/%s/%s" % (place, table), 400, data=data) == {
        "message": text}


def test_of_others(env):
    _, key = env.new_account()
    for table in ("bounces", "complaints", "unsubscribes"):
        r = env.api("GET", "/%s/%s" % (env.domain, table), key=key)
        assert r.status_code == 404
        assert env.api("DELETE", "/%s/%s" % (env.domain, table)
                       ).status_code == 405


@pytest.mark.both
def test_what_rows_stop(env):
    """By each table, for the ways mail is handed in; a row that goes lets
    mail flow. All the while the domain's unsubscribe setting is off."""
    d = env.new_domain()
    call(env, "POST", "/%s/bounces" % d, data={"address": "b@remote.test"})
    call(env, "POST", "/%s/complaints" % d, data={"address": "c@remote.test"})
    call(env, "POST", "/%s/unsubscribes" % d,
         data={"address": "U@remote.test", "tag": "*"})
    call(env, "POST", "/%s/unsubscribes" % d,
         data={"address": "t@remote.test", "tag": "news"})
    # a batch with variables, with a tag; then without
    everybody = ["b@remote.test", "c@remote.test", "u@remote.test",
                 "t@remote.test", "free-%s@remote.test" % d]
    send(env, d, everybody, **{"o:tag": ["other", "News"],
                               "recipient-variables": "{}"})
    dropped = env.wait("four drops", lambda: len(log(env, d, "dropped")) == 4
                       and log(env, d, "dropped"))
    reasons = {re.search(r"\u2192 (\w)", i["message"]).group(1):
               i["message"].split("Reason: ")[1] for i in dropped}
    assert reasons == {
        "b": "Not delivering to previously bounced address",
        "c": "Not delivering to a user who marked your messages as spam",
        "u": "Not delivering to unsubscribed address",
        "t": "Not delivering to unsubscribed address"}
    assert env.wait_mx("free-%s@remote.test" % d)
    send(env, d, "t@remote.test", subject="untagged")
    env.wait("what has no tag", lambda: [
        i for i in log(env, d, "delivered") if "untagged" in i["message"]])
    # rows that go
    call(env, "DELETE", "/%s/bounces/b@remote.test" % d)
    call(env, "DELETE", "/%s/complaints/c@remote.test" % d)
    call(env, "DELETE", "/%s/unsubscribes/u@remote.test" % d)
    call(env, "DELETE", "/%s/unsubscribes/t@remote.test" % d,
         params={"tag": "news"})
    send(env, d, everybody[:4], subject="again", **{"o:tag": "news"})
    env.wait("four deliveries", lambda: len(
        [i for i in log(env, d, "delivered") if "again" in i["message"]]) == 4)
    assert len(log(env, d, "dropped")) == 4


@pytest.mark.both
def test_mail_by_smtp_obeys(env):
    """Plain and as a batch, with tags as fields."""
    d, mark = env.domain, env.new_domain()
    gone, left, free = ("%s-%s@remote.test" % (n, mark)
                        for n in ("gone", "left", "free"))
    call(env, "POST", "/%s/bounces" % d, data={"address": gone})
    call(env, "POST", "/%s/unsubscribes" % d,
         data={"address": left, "tag": "offers"})
    fields = ("From: me@%s\r\nTo: %%recipient%%\r\nSubject: %s\r\n"
              "X-Mailgun-Tag: Offers\r\n" % (d, mark))
    batch = 'X-Mailgun-Recipient-Variables: {"%s": {"a": "b"}}\r\n' % left
    for more in ("", batch):
        with smtplib.SMTP("127.0.0.1", env.submission_port) as s:
            s.starttls()
            s.login(env.smtp_login, env.smtp_password)
            s.sendmail(env.mailbox, [gone, left, free],
                       fields + more + "\r\nhi\r\n")

    def lines(hap):
        return [i["message"] for i in log(env, d, hap)
                if mark in i["message"]]
    env.wait("four drops", lambda: len(lines("dropped")) == 4)
    env.wait("two deliveries", lambda: len(lines("delivered")) == 2)
    assert all(free in line for line in lines("delivered"))
    assert len(env.mx_messages(free)) == 2
    assert not env.mx_messages(gone) and not env.mx_messages(left)


@pytest.mark.both
def test_version_3(env):
    d = env.new_domain()
    for i in range(5):
        assert v3(env, "POST", "/%s/bounces" % d, data={
            "address": "a%d@x.test" % i, "code": 551, "error": "no"}) == {
            "message": "Address has been added to the bounces table",
            "address": "a%d@x.test" % i}
    one = v3(env, "GET", "/%s/bounces/a1@x.test" % d)
    assert one.pop("created_at").endswith(" UTC")
    assert one == {"address": "a1@x.test", "code": "551", "error": "no"}
    seen, url = [], "/%s/bounces?limit=2" % d
    for _ in range(4):
        page = v3(env, "GET", url)
        assert sorted(page["paging"]) == ["first", "last", "next", "previous"]
        seen.append([i["address"][:2] for i in page["items"]])
        parts = urlparse(page["paging"]["next"])
        assert parts.netloc == "127.0.0.1:%d" % env.api_port
        assert parts.path == "/v3/%s/bounces" % d
        assert parse_qs(parts.query)["limit"] == ["2"]
        url = page["paging"]["next"].split("/v3")[1]
    assert seen == [["a0", "a1"], ["a2", "a3"], ["a4"], []]
    back = v3(env, "GET", page["paging"]["previous"].split("/v3")[1])
    assert [i["address"][:2] for i in back["items"]] == ["a2", "a3"]
    last = v3(env, "GET", page["paging"]["last"].split("/v3")[1])
    assert [i["address"][:2] for i in last["items"]] == ["a3", "a4"]
    assert v3(env, "GET", "/%s/bounces?term=A3" % d)["items"][0][
        "address"] == "a3@x.test"
    assert "larger" in v3(env, "GET", "/%s/bounces?limit=1001" % d, 400)[
        "message"]

    assert v3(env, "POST", "/%s/unsubscribes" % d, json=[
        {"address": "b@x.test", "tags": ["one", "two"]},
        {"address": "c@x.test"}]) == {
        "message": "2 addresses have been added to the unsubscribes table"}
    items = v3(env, "GET", "/%s/unsubscribes" % d)["items"]
    assert [(i["address"], i["tags"]) for i in items] == [
        ("b@x.test", ["one", "two"]), ("c@x.test", ["*"])]
    assert v3(env, "POST", "/%s/complaints" % d, json=[
        {"address": "b@x.test", "created_at": "Thu, 13 Oct 2011 18:02:00 UTC"}
    ]) == {"message":
           "1 complaint addresses have been added to the complaints table"}
    assert v3(env, "GET", "/%s/complaints/b@x.test" % d) == {
        "address": "b@x.test", "created_at": "Thu, 13 Oct 2011 18:02:00 UTC"}
    for json, text in ((["x"] * 1001, "Batch size should be less than 1000"),
                       ({}, "unable to parse request: a JSON array is "
                        "expected"),
                       ([{"code": 1}], "'address' parameter is missing")):
        assert v3(env, "POST", "/%s/bounces" % d, 400, json=json) == {
            "message": text}
    assert v3(env, "POST", "/%s/unsubscribes" % d, json=[
        {"address": "p%d@x.test" % i} for i in range(601)]) == {
        "message": "601 addresses have been added to the unsubscribes table"}
    assert call(env, "GET", "/%s/unsubscribes?limit=1" % d)[
        "total_count"] == 604
    many = [{"address": "m%d@x.test" % i, "tags": ["t%d" % n for n in
                                                    range(500)]}
            for i in range(11)]
    assert v3(env, "POST", "/%s/unsubscribes" % d, 400, json=many) == {
        "message": "Too many tags"}
    assert call(env, "GET", "/%s/unsubscribes?limit=1" % d)[
        "total_count"] == 604
    for table, text in (("bounces", "Bounced addresses"),
                        ("complaints", "Complaint addresses"),
                        ("unsubscribes", "Unsubscribe addresses")):
        assert v3(env, "DELETE", "/%s/%s" % (d, table)) == {
            "message": text + " for this domain have been removed"}
        assert call(env, "GET", "/%s/%s" % (d, table)) == {
            "total_count": 0, "items": []}
    assert "nothing wrong" in env.ctl("fsck")
