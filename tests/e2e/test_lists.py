"""/lists as the reference has them (section 10): lists, members, uploads."""
import json
import re

import pytest

pytestmark = pytest.mark.both

DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} "
                  r"\d\d:\d\d:\d\d -0000")
NO_ADDRESS = ("'address' parameter is not a valid address. please check "
              "documentation")


@pytest.fixture
def account(env):
    """(name, key, domain) of an account with no lists."""
    name, key = env.new_account()
    domain = "l%s.test" % name.replace("-", "")
    env.ctl("domain", "add", domain, "--account", name)
    return name, key, domain


def make(env, account, local="dev", **fields):
    address = "%s@%s" % (local, account[2])
    r = env.api("POST", "/lists", key=account[1],
                data=dict(fields, address=address))
    assert r.status_code == 200, r.text
    return address


def add(env, account, address, member, **fields):
    r = env.api("POST", "/lists/%s/members" % address, key=account[1],
                data=dict(fields, address=member))
    assert r.status_code == 200, r.text
    return r.json()["member"]


def members(env, account, address, **params):
    r = env.api("GET", "/lists/%s/members" % address, key=account[1],
                params=params)
    assert r.status_code == 200, r.text
    return r.json()


# --- lists ---

def test_life_of_a_list(env, account):
    name, key, domain = account
    address = "Dev@" + domain
    r = env.api("POST", "/lists", key=key, data={
        "address": address, "description": "Mailgun developers list"})
    assert r.status_code == 200
    made = r.json()
    assert made["message"] == "Mailing list has been created"
    assert DATE.fullmatch(made["list"].pop("created_at"))
    assert made["list"] == {
        "address": address, "name": "", "access_level": "readonly",
        "description": "Mailgun developers list", "members_count": 0}
    r = env.api("GET", "/lists/dev@" + domain, key=key)
    there = r.json()
    assert list(there) == ["list"]
    assert dict(made["list"], created_at=there["list"]["created_at"]) == \
        there["list"]
    assert env.api("GET", "/lists", key=key).json() == {
        "total_count": 1, "items": [there["list"]]}
    # others do not see it
    for method in "GET", "PUT", "DELETE":
        r = env.api(method, "/lists/" + address)
        assert (r.status_code, r.json()) == (404, {
            "message": "Mailing list %s not found" % address})
    r = env.api("PUT", "/lists/" + address, key=key, data={
        "name": "Developers", "address": "devs@" + domain,
        "access_level": "members"})
    assert r.status_code == 200, r.text
    assert r.json()["message"] == "Mailing list has been updated"
    assert r.json()["list"]["address"] == "devs@" + domain
    assert r.json()["list"]["access_level"] == "members"
    assert r.json()["list"]["description"] == "Mailgun developers list"
    r = env.api("DELETE", "/lists/devs@" + domain, key=key)
    assert r.json() == {"address": "devs@" + domain,
                        "message": "Mailing list has been removed"}
    assert env.api("GET", "/lists", key=key).json() == {
        "total_count": 0, "items": []}


def test_what_is_no_list(env, account):
    name, key, domain = account
    make(env, account)

    def refused(status, message, **fields):
        r = env.api("POST", "/lists", key=key, data=fields)
        assert (r.status_code, r.json()) == (status, {"message": message})

    refused(400, "Parameter 'address' is missing", name="x")
    refused(400, NO_ADDRESS, address="dev")
    refused(404, "Domain not found: other.test", address="dev@other.test")
    refused(404, "Domain not found: " + env.domain,
            address="dev@" + env.domain)
    refused(400, "Duplicate object", address="DEV@" + domain)
    refused(400, "Invalid access level 'x'. It can be any of: 'readonly', "
            "'members', 'everyone'.", address="x@" + domain, access_level="x")
    r = env.api("PUT", "/lists/dev@" + domain, key=key,
                data={"address": "dev@other.test"})
    assert r.status_code == 404
    other = make(env, account, "other")
    r = env.api("PUT", "/lists/" + other, key=key,
                data={"address": "dev@" + domain})
    assert (r.status_code, r.json()["message"]) == (400, "Duplicate object")


def test_pages_of_lists(env, account):
    name, key, domain = account
    for i in range(5):
        make(env, account, "l%d" % i)
    r = env.api("GET", "/lists", key=key, params={"skip": 1, "limit": 2})
    assert r.json()["total_count"] == 5
    assert [x["address"] for x in r.json()["items"]] == [
        "l1@" + domain, "l2@" + domain]
    r = env.api("GET", "/lists", key=key, params={"address": "L3@" + domain})
    assert r.json()["total_count"] == 5
    assert [x["address"] for x in r.json()["items"]] == ["l3@" + domain]
    # version 3: by the neighbour's address
    url = env.api_url.replace("/v2", "/v3") + "/lists/pages?limit=2"
    seen = []
    while True:
        r = env.http.get(url, auth=("api", key), timeout=60)
        assert r.status_code == 200, r.text
        page = r.json()
        if not page["items"]:
            break
        seen += [x["address"].split("@")[0] for x in page["items"]]
        assert page["items"][0]["reply_preference"] == "sender"
        url = page["paging"]["next"]
    assert seen == ["l0", "l1", "l2", "l3", "l4"]
    r = env.http.get(page["paging"]["last"], auth=("api", key), timeout=60)
    assert [x["address"].split("@")[0] for x in r.json()["items"]] == [
        "l3", "l4"]
    r = env.http.get(r.json()["paging"]["previous"], auth=("api", key),
                     timeout=60)
    assert [x["address"].split("@")[0] for x in r.json()["items"]] == [
        "l1", "l2"]


# --- members ---

def test_life_of_a_member(env, account):
    name, key, domain = account
    address = make(env, account)
    path = "/lists/%s/members" % address
    r = env.api("POST", path, key=key, data={
        "subscribed": "True", "address": "bob@gmail.test", "name": "Bob Bar",
        "description": "Developer", "vars": '{"age": 26}'})
    assert r.status_code == 200, r.text
    bob = {"address": "bob@gmail.test", "name": "Bob Bar", "subscribed": True,
           "vars": {"age": 26}}
    assert r.json() == {"member": bob,
                        "message": "Mailing list member has been created"}
    assert env.api("GET", path, key=key).json() == {
        "total_count": 1, "items": [bob]}
    assert env.api("GET", path + "/BOB@gmail.test", key=key).json() == {
        "member": bob}
    assert env.api("GET", "/lists/" + address,
                   key=key).json()["list"]["members_count"] == 1
    r = env.api("PUT", path + "/bob@gmail.test", key=key,
                data={"subscribed": "no", "name": "Foo Bar"})
    bob.update(subscribed=False, name="Foo Bar")
    assert r.json() == {"member": bob,
                        "message": "Mailing list member has been updated"}
    r = env.api("PUT", path + "/bob@gmail.test", key=key,
                data={"address": "bob.bar@gmail.test", "vars": ""})
    bob.update(address="bob.bar@gmail.test", vars={})
    assert r.json()["member"] == bob
    r = env.api("DELETE", path + "/bob.bar@gmail.test", key=key)
    assert r.json() == {"member": {"address": "bob.bar@gmail.test"},
                        "message": "Mailing list member has been deleted"}
    for method in "GET", "PUT", "DELETE":
        r = env.api(method, path + "/bob@gmail.test", key=key)
        assert (r.status_code, r.json()) == (404, {
            "message": "Member bob@gmail.test of mailing list %s not found"
            % address})


def test_strict_and_upsert(env, account):
    name, key, domain = account
    address = make(env, account)
    path = "/lists/%s/members" % address
    add(env, account, address, "bob@x.test", name="Bob")
    r = env.api("POST", path, key=key, data={"address": "Bob@x.test"})
    assert (r.status_code, r.json()) == (400, {
        "message": "Address already exists 'Bob@x.test'"})
    assert add(env, account, address, "Bob <Bob@x.test>", upsert="yes") == {
        "address": "Bob@x.test", "name": "Bob", "subscribed": True, "vars": {}}
    for fields, message in (
            ({}, "Parameter 'address' is missing"),
            ({"address": "nobody"}, NO_ADDRESS),
            ({"address": "a@x.test", "subscribed": "maybe"},
             "'subscribed' parameter is not a boolean"),
            ({"address": "a@x.test", "vars": "[1]"},
             "'vars' parameter is not a JSON object of up to 16384 octets")):
        r = env.api("POST", path, key=key, data=fields)
        assert (r.status_code, r.json()) == (400, {"message": message})
    r = env.api("POST", "/lists/no@%s/members" % domain, key=key,
                data={"address": "a@x.test"})
    assert (r.status_code, r.json()) == (404, {
        "message": "Mailing list no@%s not found" % domain})


def test_filter_and_pages_of_members(env, account):
    name, key, domain = account
    address = make(env, account)
    for i in range(5):
        add(env, account, address, "m%d@x.test" % i,
            subscribed="yes" if i % 2 == 0 else "no")

    def shown(**params):
        page = members(env, account, address, **params)
        assert page["total_count"] == 5
        return [m["address"][:2] for m in page["items"]]

    assert shown() == ["m0", "m1", "m2", "m3", "m4"]
    assert shown(subscribed="yes") == ["m0", "m2", "m4"]
    assert shown(subscribed="no", skip=1, limit=1) == ["m3"]
    url = env.api_url.replace("/v2", "/v3")
    url += "/lists/%s/members/pages?limit=2&subscribed=yes" % address
    seen = []
    while True:
        page = env.http.get(url, auth=("api", key), timeout=60).json()
        if not page["items"]:
            break
        seen += [m["address"][:2] for m in page["items"]]
        url = page["paging"]["next"]
    assert seen == ["m0", "m2", "m4"]


# --- uploads ---

def test_json(env, account):
    name, key, domain = account
    address = make(env, account)
    path = "/lists/%s/members.json" % address
    r = env.api("POST", path, key=key, data={"members": json.dumps([
        "Alice <alice@x.test>", "nobody", 4711,
        {"name": "Bob", "address": "bob@x.test", "vars": {"age": 26}},
        {"address": "cleo@x.test", "vars": '{"age": 27}',
         "subscribed": False}])})
    assert r.status_code == 200, r.text
    assert r.json()["message"] == "Mailing list has been updated"
    assert r.json()["list"]["members_count"] == 3
    assert r.json()["errors"] == [
        {"line": 2, "error": "the address is malformed"},
        {"line": 3, "error": "it is no address and no object"}]
    assert members(env, account, address)["items"] == [
        {"address": "alice@x.test", "name": "Alice", "subscribed": True,
         "vars": {}},
        {"address": "bob@x.test", "name": "Bob", "subscribed": True,
         "vars": {"age": 26}},
        {"address": "cleo@x.test", "name": "", "subscribed": False,
         "vars": {"age": 27}}]
    # strict: nobody is added
    r = env.api("POST", path, key=key, data={
        "members": '["dan@x.test", "Bob@x.test"]'})
    assert (r.status_code, r.json()) == (400, {
        "message": "Address already exists 'Bob@x.test'"})
    assert members(env, account, address)["total_count"] == 3
    r = env.api("POST", path, key=key, data={
        "members": '["dan@x.test", "bob@x.test"]', "upsert": "yes",
        "subscribed": "no"})
    assert r.json()["list"]["members_count"] == 4
    assert "errors" not in r.json()
    assert [m["address"] for m in members(
        env, account, address, subscribed="yes")["items"]] == ["alice@x.test"]
    r = env.api("POST", path, key=key, data={
        "members": json.dumps(["m%d@x.test" % i for i in range(1001)])})
    assert (r.status_code, r.json()) == (400, {
        "message": "Too many members, max is 1000 at once"})
    for bad in "", "{}", "[":
        assert env.api("POST", path, key=key,
                       data={"members": bad}).status_code == 400


CSV = (b"\xef\xbb\xbfEmail,Name,age,subscribed,vars\r\n"
       b"alice@x.test,\"Al \"\"the\"\" ice, senior\",30,yes,\r\n"
       b"nobody,,,,\r\n"
       b"\r\n"
       b"bob@x.test,\"two\r\nlines\",31,no,\"{\"\"age\"\": 26}\"\n"
       b"cleo@x.test,Cl\xc3\xa9o,,maybe,\n"
       b"dan@x.test")


def test_csv(env, account):
    name, key, domain = account
    address = make(env, account)
    path = "/lists/%s/members.csv" % address
    r = env.api("POST", path, key=key, files={"members": ("m.csv", CSV)})
    assert r.status_code == 200, r.text
    assert r.json()["errors"] == [
        {"line": 3, "error": "the address is malformed"},
        {"line": 7, "error": "subscribed is no boolean"}]
    assert members(env, account, address)["items"] == [
        {"address": "alice@x.test", "name": 'Al "the" ice, senior',
         "subscribed": True, "vars": {"age": "30"}},
        {"address": "bob@x.test", "name": "two\r\nlines", "subscribed": False,
         "vars": {"age": 26}},
        {"address": "dan@x.test", "name": "", "subscribed": True, "vars": {}}]
    # without a header: address, name
    r = env.api("POST", path, key=key, data={"upsert": "yes"}, files={
        "members": ("m.csv", b"eve@x.test,Eve\nalice@x.test,Alice\n")})
    assert r.json()["list"]["members_count"] == 4
    r = env.api("POST", path, key=key, data={"upsert": "yes"}, files={
        "members": ("m.csv", b"address\nfay@x.test\n\"gus@x.test\n")})
    assert (r.status_code, r.json()) == (400, {
        "message": "CSV file, line 3: a quote does not end, or does not end "
        "its field"})
    r = env.api("POST", path, key=key, files={
        "members": ("m.csv", b"x" * (5 * 1024 * 1024 + 1))})
    assert (r.status_code, r.json()) == (400, {
        "message": "CSV file is too big, max allowed size is 5 MB"})


def test_many_by_csv(env, account):
    address = make(env, account)
    lines = "".join("m%05d@x.test\n" % i for i in range(20000))
    r = env.api("POST", "/lists/%s/members.csv" % address, key=account[1],
                files={"members": ("m.csv", lines)})
    assert r.json()["list"]["members_count"] == 20000
    page = members(env, account, address, skip=19999)
    assert [m["address"] for m in page["items"]] == ["m19999@x.test"]


def test_limit_of_an_account(env, account):
    name, key, domain = account
    one, two = make(env, account, "one"), make(env, account, "two")
    env.ctl("account", "set", name, "members=3")
    add(env, account, one, "a@x.test")
    add(env, account, two, "a@x.test")
    for path, data in (("members", {"address": "d@x.test"}),
                       ("members.json", {"members": '["d@x.test"]'})):
        add(env, account, one, "b@x.test", upsert="yes")
        r = env.api("POST", "/lists/%s/%s" % (two, path), key=key, data=data)
        assert (r.status_code, r.json()) == (400, {
            "message": "Too many members, max is 3"})
    env.ctl("account", "set", name, "members=none")
    add(env, account, two, "d@x.test")
    assert re.search(r"^%s .* -$" % re.escape(name),
                     env.ctl("account", "list"), re.M)
