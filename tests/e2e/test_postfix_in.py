"""Postfix relays to us, as the world does: what it hands in, what it makes of
our refusals, and that it comes again."""
import email
import email.policy
import imaplib
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
from email.message import EmailMessage

import pytest

from tests.bench.postfix import Postfix

pytestmark = pytest.mark.skipif(os.getuid() != 0,
                                reason="Postfix is started by root")


class NoSyncs:
    """What the benchmarks put into its environment: nothing."""
    @staticmethod
    def env():
        return {}


@pytest.fixture
def postfix(env):
    folder = tempfile.mkdtemp(prefix="mailgun-postfix-")
    os.chmod(folder, 0o755)
    server = Postfix(folder + "/p", env.smtp_port, NoSyncs)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def hand_in(postfix, sender, recipients, subject, body="x\n", **fields):
    m = EmailMessage(policy=email.policy.SMTP.clone(cte_type="8bit"))
    m["From"] = sender
    m["To"] = recipients[0]
    m["Subject"] = subject
    for name, value in fields.items():
        m[name.replace("_", "-")] = value
    m.set_content(body, cte="8bit")
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as s:
        s.ehlo()
        options = ["BODY=8BITMIME"] if s.has_extn("8bitmime") else []
        s.sendmail(sender, recipients, m.as_bytes(), options)


def in_mailbox(env, address, password, subject):
    """Messages with that in their Subject."""
    client = imaplib.IMAP4_SSL("127.0.0.1", env.imaps_port,
                               ssl_context=ssl._create_unverified_context())
    client.login(address, password)
    client.select("INBOX")
    found = []
    for n in client.search(None, "SUBJECT", '"%s"' % subject)[1][0].split():
        data = client.fetch(n.decode(), "(RFC822)")[1]
        found.append(email.message_from_bytes(data[0][1],
                                              policy=email.policy.SMTP))
    client.logout()
    return found


def test_to_a_mailbox_and_a_route(env, postfix):
    domain = env.new_domain()
    path = "/hook/postfix-" + domain
    env.ctl("mailbox", "add", "box@" + domain, "secret")
    r = env.api("POST", "/routes", data={
        "expression": "match_recipient('app@%s')" % domain,
        "action": "forward('http://127.0.0.1:%d%s')" % (env.hook_port, path)})
    try:
        hand_in(postfix, "al@example.net", ["box@" + domain, "app@" + domain],
                "relayed", "gr\u00fc\u00dfe\n")
        m, = env.wait("the mail in the mailbox", lambda: in_mailbox(
            env, "box@" + domain, "secret", "relayed"))
        assert m.get_content().strip() == "gr\u00fc\u00dfe"
        assert "postfix.bench.test" in " ".join(m.get_all("Received"))
        post, = env.wait_hook(lambda h: True, path)
        assert post["fields"]["body-plain"].strip() == "gr\u00fc\u00dfe"
    finally:
        env.api("DELETE", "/routes/" + r.json()["route"]["id"])


def test_our_refusals_become_its_bounces(env, postfix):
    """At RCPT, and at the end of data where no header route matches."""
    account, key = env.new_account()
    domain = env.new_domain(account)
    env.ctl("mailbox", "add", "al@" + domain, "secret")
    r = env.api("POST", "/routes", key=key, data={
        "expression": "match_recipient('late@.*') and match_header('subject',"
        " 'wanted')", "action": "forward('http://127.0.0.1:%d/hook/late')"
        % env.hook_port})
    assert r.status_code == 200, r.text
    for who in "nobody", "late":
        hand_in(postfix, "al@" + domain, ["%s@%s" % (who, domain)],
                "to " + who)

    def reports():
        found = in_mailbox(env, "al@" + domain, "secret", "Undelivered")
        return found if len(found) == 2 else None
    text = [m.as_string() for m in env.wait("two reports", reports)]
    for who, command in (("nobody", "RCPT TO"), ("late", "end of DATA")):
        report, = [t for t in text if "%s@%s" % (who, domain) in t]
        assert "5.1.1" in report and command in report


@pytest.mark.stack()
def test_it_comes_again(own_env):
    env = own_env
    folder = tempfile.mkdtemp(prefix="mailgun-postfix-")
    os.chmod(folder, 0o755)
    postfix = Postfix(folder + "/p", env.smtp_port, NoSyncs)
    try:
        env.processes["smtpd"].stop()
        hand_in(postfix, "al@example.net", [env.mailbox], "later")
        env.wait("the mail to be deferred", lambda: "status=deferred" in open(
            postfix.dir + "/log").read())
        env.start_smtpd()
        subprocess.run(["postqueue", "-c", postfix.dir + "/etc", "-f"],
                       check=True)
        m, = env.wait("the mail", lambda: in_mailbox(
            env, env.mailbox, env.mailbox_password, "later"))
        assert m["Subject"] == "later"
    finally:
        postfix.stop()
        shutil.rmtree(folder)
