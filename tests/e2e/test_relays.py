"""Postfix and Exim relay through us, by the manual's recipes: on the port that
plays 25 as printed, and on 587 with STARTTLS; by a mailbox's password and by a
credential's."""
import os
import re

import pytest

from conftest import make_env
from tests.stack.relays import EximRelay, PostfixRelay

# what each needs on 587: the recipes say nothing of TLS
TLS = {
    PostfixRelay: "smtp_tls_security_level = encrypt\n",
    EximRelay: "  hosts_require_tls = *\n  hosts_require_auth = *\n"
               "  tls_verify_certificates =\n",
}
CLEAR = {PostfixRelay: "", EximRelay: "  hosts_avoid_tls = *\n"}


@pytest.fixture(scope="module")
def env():
    stack = make_env("relays", extra="MailgunAuthWithoutTLS loopback\n")
    try:
        stack.setup()
        stack.start_mx()
        stack.start_smtpd()
        stack.ctl("credential", "add", "relay@" + stack.domain, "relay-secret")
        yield stack
    finally:
        stack.stop()
    found = stack.unannounced()
    stack.clean()
    assert not found, "unannounced in the logs:\n" + "\n".join(found)


@pytest.fixture(params=[PostfixRelay, EximRelay],
                ids=["postfix", "exim"])
def kind(request):
    if request.param is PostfixRelay and os.getuid() != 0:
        pytest.skip("Postfix's master runs as root only")
    if request.param is EximRelay and EximRelay.why_not():
        pytest.skip(EximRelay.why_not())
    return request.param


@pytest.fixture
def relay(env, kind):
    started = []

    def start(port, login, password, extra=""):
        started.append(kind(env.dir + "/relay", port, login, password, extra))
        return started[-1]
    yield start
    for one in started:
        one.stop()


def arrives(env, relay, recipient):
    """Sent by the relay, taken by the sandbox MX: what arrives."""
    relay.send(recipient, "through us")
    try:
        taken = env.wait_mx(recipient)
    except AssertionError:
        raise AssertionError(relay.log()[-3000:])
    assert len(taken) == 1
    return env.mx_content(taken[0]).decode()


def received(mail):
    """How the message came to us."""
    found = re.search(r"by\s+mail\.mailgun\.test\s+with\s+(\w+)", mail)
    assert found, mail
    return found.group(1)


@pytest.mark.parametrize("who", ["mailbox", "credential"])
def test_as_printed(env, kind, relay, who):
    login = {"mailbox": (env.mailbox, env.mailbox_password),
             "credential": ("relay@" + env.domain, "relay-secret")}[who]
    r = relay(env.smtp_port, *login)
    to = "printed-%s-%s@remote.test" % (kind.__name__.lower(), who)
    mail = arrives(env, r, to)
    assert "Subject: relayed" in mail
    assert "Sender: me=customer.test@" + env.domain in mail
    assert "X-Mailgun-Tag: relay" in mail
    log = env.log_text("smtpd")
    assert "login=%s from=<me@customer.test>" % login[0] in log


def test_in_clear(env, kind, relay):
    """The recipes ask for no TLS; where there is none the login is in clear,
    which MailgunAuthWithoutTLS allows."""
    r = relay(env.smtp_port, env.mailbox, env.mailbox_password, CLEAR[kind])
    mail = arrives(env, r, "clear-%s@remote.test" % kind.__name__.lower())
    assert received(mail) == "ESMTPA"


def test_submission_with_starttls(env, kind, relay):
    r = relay(env.submission_port, env.mailbox, env.mailbox_password,
              TLS[kind])
    mail = arrives(env, r, "tls-%s@remote.test" % kind.__name__.lower())
    assert received(mail) == "ESMTPSA"


def test_a_wrong_password_sends_nothing(env, kind, relay):
    r = relay(env.submission_port, env.mailbox, "wrong-secret", TLS[kind])
    to = "wrong-%s@remote.test" % kind.__name__.lower()
    r.send(to, "never")
    env.wait("the refusal", lambda: "535 5.7.8" in r.log() or
             "authentication failed" in r.log().lower() or
             "login refused" in env.log_text("smtpd"))
    assert not env.mx_messages(to)
