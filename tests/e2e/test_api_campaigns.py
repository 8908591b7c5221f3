"""/<domain>/campaigns: the manual's calls, errors, what is counted."""
import re

import pytest

COUNTS = ["submitted", "delivered", "opened", "clicked", "unsubscribed",
          "bounced", "complained", "dropped"]
KEYS = sorted(["id", "name", "created_at"] + [n + "_count" for n in COUNTS])


@pytest.fixture(scope="module")
def place(stack):
    """A domain of this file's own."""
    return stack.new_domain()


def get(env, path, status=200, **params):
    r = env.api("GET", path, params=params)
    assert r.status_code == status, r.text
    assert r.headers["Content-Type"].startswith("application/json")
    return r.json()


def create(env, d, name="Newsletter", **more):
    return env.api("POST", "/%s/campaigns" % d, data=dict(name=name, **more))


@pytest.mark.both
def test_manual_calls(env, place):
    d = place
    r = env.api("POST", "/%s/campaigns" % d, files=[
        ("name", (None, "Newsletter")), ("id", (None, "my_campaign_id"))])
    assert r.status_code == 200
    reply = r.json()
    assert sorted(reply) == ["campaign", "message"]
    assert reply["message"] == "Campaign created"
    made = reply["campaign"]
    assert sorted(made) == KEYS
    assert (made["id"], made["name"]) == ("my_campaign_id", "Newsletter")
    assert made["created_at"].endswith(" GMT")
    assert all(made[n + "_count"] == 0 for n in COUNTS)

    other = create(env, d, "Another \u20ac").json()["campaign"]
    assert re.fullmatch("[0-9a-f]{24}", other["id"])
    assert get(env, "/%s/campaigns/my_campaign_id" % d) == made
    reply = get(env, "/%s/campaigns" % d)
    assert reply["total_count"] == 2
    assert sorted(reply["items"], key=lambda i: i["name"]) == [other, made]
    page = get(env, "/%s/campaigns" % d, skip=1, limit=1)
    assert page == {"total_count": 2, "items": reply["items"][1:]}

    # form, query; POST as one client did
    for method, where in (("PUT", "data"), ("PUT", "params"),
                          ("POST", "data")):
        r = env.api(method, "/%s/campaigns/my_campaign_id" % d,
                    **{where: {"name": method + where}})
        assert r.json() == {"message": "Campaign updated",
                            "campaign": dict(made, name=method + where)}
    r = env.api("PUT", "/%s/campaigns/my_campaign_id" % d,
                data={"id": "renamed", "name": "N"})
    assert r.json()["campaign"] == dict(made, id="renamed", name="N")
    get(env, "/%s/campaigns/my_campaign_id" % d, 404)

    r = env.api("DELETE", "/%s/campaigns/renamed" % d)
    assert (r.status_code, r.json()) == (
        200, {"message": "Campaign deleted", "id": "renamed"})
    assert get(env, "/%s/campaigns" % d)["items"] == [other]
    assert get(env, "/%s/campaigns/renamed" % d, 404) == {
        "message": "Campaign not found: renamed"}


@pytest.mark.parametrize("data, text", [
    ({}, "Parameter 'name' is missing"),
    ({"id": "x"}, "Parameter 'name' is missing"),
    ({"name": "x" * 65}, "'name' parameter is longer than 64 characters"),
    ({"name": "x", "id": "x" * 65},
     "'id' parameter is longer than 64 characters"),
    ({"name": "x", "id": "\u00e4"},
     "'id' parameter must be pure ASCII, without blanks"),
    ({"name": "a\nb"}, "'name' parameter has control characters"),
    ({"name": "x", "id": "taken"}, "Duplicate object")])
def test_refused(env, place, data, text):
    create(env, place, id="taken")
    r = env.api("POST", "/%s/campaigns" % place, data=data)
    assert (r.status_code, r.json()) == (400, {"message": text})


def test_refused_changes(env, place):
    create(env, place, id="one")
    create(env, place, id="two")
    path = "/%s/campaigns/one" % place
    for data, status, text in (
            ({}, 400, "Parameter 'name' or 'id' is missing"),
            ({"id": "two"}, 400, "Duplicate object"),
            ({"id": "a b"}, 400,
             "'id' parameter must be pure ASCII, without blanks")):
        r = env.api("PUT", path, data=data)
        assert (r.status_code, r.json()) == (status, {"message": text})
    for method in "PUT", "DELETE", "GET":
        r = env.api(method, "/%s/campaigns/none" % place, data={"name": "x"})
        assert (r.status_code, r.json()) == (
            404, {"message": "Campaign not found: none"})


def test_of_this_domain_alone(env, place):
    other = env.new_domain()
    create(env, place, id="mine")
    get(env, "/%s/campaigns/mine" % other, 404)
    assert create(env, other, id="mine").status_code == 200


def test_limit_of_the_account(env):
    account, key = env.new_account()
    d = env.new_domain(account)
    env.ctl("account", "set", account, "campaigns=1")

    def post(name):
        return env.api("POST", "/%s/campaigns" % d, key=key,
                       data={"name": name})
    assert post("a").status_code == 200
    r = post("b")
    assert (r.status_code, r.json()) == (400, {
        "message": "Campaign limit reached: the account can have 1 campaigns."
                   " Delete one to create another."})
    env.ctl("account", "set", account, "campaigns=none")
    assert post("b").status_code == 200
