"""Webhooks: where they are set, what each kind of event posts, how often, and
that none is lost."""
import pytest

pytestmark = pytest.mark.both

IDS = ["bounce", "click", "deliver", "drop", "open", "spam", "unsubscribe"]


# --- /domains/{domain}/webhooks ---

def test_crud(env):
    domain = env.new_domain()
    path = "/domains/%s/webhooks" % domain
    r = env.api("GET", path)
    assert r.status_code == 200 and r.json() == {"webhooks": {}}
    for id_ in IDS:
        url = "https://hooks.test/%s?a=b" % id_
        r = env.api("POST", path, data={"id": id_, "url": url})
        assert r.status_code == 200, r.text
        assert r.json() == {"message": "Webhook has been created",
                            "webhook": {"url": url}}
        r = env.api("GET", path + "/" + id_)
        assert r.json() == {"webhook": {"url": url}}
    assert env.api("GET", path).json() == {"webhooks": {
        id_: {"url": "https://hooks.test/%s?a=b" % id_} for id_ in IDS}}
    # one place: mailgunctl sees it
    assert "https://hooks.test/drop?a=b" in env.ctl("domain", "show", domain)
    r = env.api("PUT", path + "/drop", data={"url": "http://x.test/"})
    assert r.json() == {"message": "Webhook has been updated",
                        "webhook": {"url": "http://x.test/"}}
    r = env.api("DELETE", path + "/drop")
    assert r.json() == {"message": "Webhook has been deleted",
                        "webhook": {"url": "http://x.test/"}}
    assert env.api("GET", path + "/drop").status_code == 404
    assert "drop" not in env.api("GET", path).json()["webhooks"]


@pytest.mark.parametrize("method, path, data, status, text", [
    ("POST", "", {}, 400, "Parameter 'id' is missing"),
    ("POST", "", {"id": "bounce"}, 400, "Parameter 'url' is missing"),
    ("POST", "", {"id": "bounce", "url": ""}, 400,
     "Parameter 'url' is missing"),
    ("POST", "", {"id": "bounced", "url": "http://x.test/"}, 400,
     "Invalid id 'bounced'. It can be any of: 'bounce', 'click', 'deliver',"
     " 'drop', 'open', 'spam', 'unsubscribe'."),
    ("POST", "", {"id": "bounce", "url": "javascript:1"}, 400,
     "url: 'javascript:1' is no URL; try https://example.com/hook"),
    ("POST", "", {"id": "click", "url": "http://y.test/"}, 400,
     "Webhook for 'click' already exists"),
    ("PUT", "/click", {}, 400, "Parameter 'url' is missing"),
    ("PUT", "/click", {"url": "x"}, 400,
     "url: 'x' is no URL; try https://example.com/hook"),
    ("PUT", "/open", {"url": "http://x.test/"}, 404, "Webhook not found"),
    ("PUT", "/opened", {"url": "http://x.test/"}, 404, "Webhook not found"),
    ("GET", "/open", {}, 404, "Webhook not found"),
    ("GET", "/x", {}, 404, "Webhook not found"),
    ("DELETE", "/open", {}, 404, "Webhook not found"),
])
def test_crud_refuses(env, method, path, data, status, text):
    domain = env.new_domain()
    env.ctl("domain", "set", domain, "webhook.click=http://was.test/")
    r = env.api(method, "/domains/%s/webhooks%s" % (domain, path), data=data)
    assert (r.status_code, r.json()) == (status, {"message": text})
    assert env.api("GET", "/domains/%s/webhooks" % domain).json() == {
        "webhooks": {"click": {"url": "http://was.test/"}}}


def test_crud_is_the_owner_s(env):
    domain = env.new_domain()
    other, key = env.new_account()
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/open"),
                         ("PUT", "/open"), ("DELETE", "/open")):
        r = env.api(method, "/domains/%s/webhooks%s" % (domain, path), key=key,
                    data={"id": "open", "url": "http://x.test/"})
        assert (r.status_code, r.json()["message"]) == (
            404, "Domain not found"), (method, path)
    assert env.api("GET", "/domains/%s/webhooks" % domain).json() == {
        "webhooks": {}}
