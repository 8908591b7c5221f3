"""Mailboxes through real Dovecot: logins, quota to the byte, the end of a
mailbox, and what a crash leaves."""
import imaplib
import poplib
import smtplib
import ssl
import subprocess
import threading
import time

import pytest

from tests.stack import faults


def context():
    return ssl._create_unverified_context()


class Box:
    """A mailbox of its own domain, as its owner and its senders see it."""
    def __init__(self, env, quota=None, domain=None):
        self.env = env
        self.domain = domain or env.new_domain()
        self.address = "user%d@%s" % (time.monotonic_ns(), self.domain)
        self.password = "owner-secret"
        args = ["mailbox", "add", self.address, self.password]
        env.ctl(*(args + (["--quota", str(quota)] if quota else [])))

    def imap(self):
        client = imaplib.IMAP4_SSL("127.0.0.1", self.env.imaps_port,
                                   ssl_context=context())
        client.login(self.address, self.password)
        return client

    def append(self, size, folder="INBOX", client=None):
        c = client or self.imap()
        text = b"Subject: appended\r\n\r\n"
        text += b"x" * (size - len(text) - 2) + b"\r\n"
        answer = c.append(folder, None, None, text)
        if not client:
            c.logout()
        return answer

    def deliver(self, body="x", subject="delivered"):
        with smtplib.SMTP("127.0.0.1", self.env.smtp_port) as s:
            s.sendmail("bob@example.net", [self.address],
                       "From: bob@example.net\r\nSubject: %s\r\n\r\n%s\r\n"
                       % (subject, body))

    def pop3(self):
        client = poplib.POP3_SSL("127.0.0.1", self.env.pop3s_port,
                                 context=context())
        client.user(self.address)
        client.pass_(self.password)
        return client

    def lmtp(self, body="x", delivery=None):
        """Straight to Dovecot, as the sender does it: the reply."""
        text = "Subject: by lmtp\r\n\r\n%s\r\n" % body
        if delivery:
            text = "X-Mailgun-Delivery-Id: %d\r\n%s" % (delivery, text)
        with smtplib.LMTP(self.env.run + "/dovecot/lmtp") as s:
            s.ehlo_or_helo_if_needed()
            s.mail("<bob@example.net>")
            code, text_ = s.rcpt(self.address)
            assert code == 250, text_
            return s.data(text)

    def size(self):
        """As GET mailboxes shows it."""
        items = self.env.api(
            "GET", "/%s/mailboxes" % self.domain).json()["items"]
        return [i["size_bytes"] for i in items
                if i["mailbox"] == self.address][0]

    def real_size(self):
        """As IMAP counts it, over all folders."""
        c = self.imap()
        total = 0
        for line in c.list()[1]:
            name = line.decode().rsplit(" ", 1)[1]
            if c.select(name, readonly=True)[1] == [b"0"]:
                continue
            data = c.fetch("1:*", "(RFC822.SIZE)")[1]
            total += sum(int(d.decode().split("RFC822.SIZE ")[1].rstrip(")"))
                         for d in data if d)
        c.logout()
        return total

    def count(self):
        c = self.imap()
        n = int(c.select("INBOX")[1][0])
        c.logout()
        return n


@pytest.fixture
def box(env):
    return Box(env)


@pytest.mark.both
def test_login_by_full_address_only(env, box):
    box.imap().logout()
    pop = poplib.POP3_SSL("127.0.0.1", env.pop3s_port, context=context())
    pop.user(box.address.upper())
    pop.pass_(box.password)
    pop.quit()
    for user, password in ((box.address, "wrong"),
                           (box.address.split("@")[0], box.password),
                           ("nobody@" + box.domain, box.password)):
        c = imaplib.IMAP4_SSL("127.0.0.1", env.imaps_port,
                              ssl_context=context())
        with pytest.raises(imaplib.IMAP4.error):
            c.login(user, password)


def test_no_login_in_clear(env, box):
    """From another address than the server's own: on its own address Dovecot
    takes the way for secured."""
    out = subprocess.run(
        ["curl", "-sv", "--interface", "127.0.0.2", "--login-options",
         "AUTH=PLAIN", "--user", "%s:%s" % (box.address, box.password),
         "imap://127.0.0.1:%d/" % env.imap_port], text=True,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert out.returncode != 0
    assert "LOGINDISABLED" in out.stderr


@pytest.mark.both
def test_size_is_right_to_the_byte(env, box):
    assert box.size() is None
    box.append(1000)
    assert box.size() == 1000
    box.deliver("y" * 5000)
    env.wait("the delivery", lambda: box.count() == 2)
    c = box.imap()
    c.create("Other")
    c.select("INBOX")
    c.copy("1", "Other")
    assert box.size() == box.real_size()
    c.uid("MOVE", "1", "Other")
    assert box.size() == box.real_size()
    c.select("Other")
    c.store("1", "+FLAGS", "\\Deleted")
    c.expunge()
    assert box.size() == box.real_size()
    c.select("INBOX")
    c.delete("Other")
    c.logout()
    assert box.size() == box.real_size()
    pop = box.pop3()
    pop.dele(1)
    pop.quit()
    assert box.size() == box.real_size() == 0


def test_full_mailbox(env):
    box = Box(env, quota=10000)
    assert box.append(6000)[0] == "OK"
    kind, text = box.append(6000)
    assert kind == "NO" and b"OVERQUOTA" in text[0]
    box.deliver("z" * 6000)
    item = env.wait("a bounced row", lambda: [
        i for i in env.api("GET", "/%s/log" % box.domain).json()["items"]
        if i["hap"] == "bounced"])[0]
    assert "552" in item["message"]
    # a new limit reaches a session that is open
    c = box.imap()
    env.ctl("mailbox", "set", box.address, "quota=20000")
    time.sleep(0.3)
    assert box.append(6000, client=c)[0] == "OK"
    c.logout()
    assert box.size() == 12000


def test_full_domain(env):
    domain = env.new_domain()
    env.ctl("domain", "set", domain, "quota_bytes=10000")
    one, two = Box(env, domain=domain), Box(env, domain=domain)
    assert one.append(6000)[0] == "OK"
    kind, text = two.append(6000)
    assert kind == "NO" and b"OVERQUOTA" in text[0]
    assert two.append(3000)[0] == "OK"


def test_parallel_saves_do_not_overshoot(env):
    box = Box(env, quota=100000)
    answers = []

    def save():
        c = box.imap()
        for _ in range(4):
            answers.append(box.append(9000, client=c)[0])
        c.logout()
    threads = [threading.Thread(target=save) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers.count("OK") == 11
    assert box.size() == box.real_size() == 99000


def assert_ends(imap, pop3):
    """Both sessions are ended by the server, with a good-bye."""
    with pytest.raises(imaplib.IMAP4.abort) as bye:
        for _ in range(40):
            imap.noop()
            time.sleep(0.25)
    assert "Server shutting down" in str(bye.value)
    with pytest.raises((poplib.error_proto, OSError)):
        for _ in range(40):
            pop3.noop()
            time.sleep(0.25)


def test_password_change_ends_sessions(env, box):
    c, pop, idle = box.imap(), box.pop3(), box.imap()
    idle.select("INBOX")
    idle.send(b"x IDLE\r\n")
    assert idle.readline().startswith(b"+ ")
    reply = env.api("PUT", "/%s/mailboxes/%s" % (
        box.domain, box.address.split("@")[0]), data={"password": "newsecret"})
    assert reply.json()["message"] == "Password changed"
    assert_ends(c, pop)
    while not idle.readline().startswith(b"* BYE"):
        pass
    with pytest.raises(imaplib.IMAP4.error):
        box.imap()
    box.password = "newsecret"
    box.imap().logout()
    s = smtplib.SMTP("127.0.0.1", env.submission_port)
    s.starttls(context=context())
    s.login(box.address, "newsecret")
    s.quit()


@pytest.mark.both
def test_deleted_mailbox(env, box):
    box.deliver("secret of the first owner")
    env.wait("the delivery", lambda: box.count() == 1)
    c, pop = box.imap(), box.pop3()
    local = box.address.split("@")[0]
    reply = env.api("DELETE", "/%s/mailboxes/%s" % (box.domain, local))
    assert reply.json() == {"message": "Mailbox has been deleted",
                            "spec": box.address}
    assert_ends(c, pop)
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo("x.test")
        s.mail("bob@example.net")
        assert s.rcpt(box.address)[0] == 550

    def no_files():
        found = subprocess.run(["grep", "-rl", "secret of the first owner",
                                env.dir + "/mail"], stdout=subprocess.PIPE)
        return not found.stdout
    env.wait("its files removed", no_files)
    reply = env.api("POST", "/%s/mailboxes" % box.domain, data={
        "mailbox": local, "password": "second-secret"})
    assert reply.json()["message"] == "Created 1 mailboxes"
    box.password = "second-secret"
    assert box.count() == 0


def test_domain_password_is_postmasters(env):
    domain = env.new_domain(password="first-secret")
    items = env.api("GET", "/%s/mailboxes" % domain).json()["items"]
    assert [i["mailbox"] for i in items] == ["postmaster@" + domain]
    env.api("PUT", "/%s/mailboxes/postmaster" % domain,
            data={"password": "other-secret"})
    s = smtplib.SMTP_SSL("127.0.0.1", env.smtps_port, context=context())
    with pytest.raises(smtplib.SMTPAuthenticationError):
        s.login("postmaster@" + domain, "first-secret")
    s.login("postmaster@" + domain, "other-secret")
    s.quit()


def test_killed_between_save_and_book(env, box):
    """The save is on disk, its booking is not: the reservation shows it, and
    the next one who looks counts anew."""
    env.expect_log("killed with signal 9|signal 9")
    box.append(2000)
    env.faults.set("plugin.save.committed", faults.KILL)
    try:
        box.append(3000)
    except (imaplib.IMAP4.abort, OSError):
        pass
    assert env.faults.hits("plugin.save.committed") == 1
    env.faults.clear()
    c = box.imap()
    env.wait("a recount", lambda: (
        c.getquotaroot("INBOX"), box.size() == box.real_size())[1])
    c.logout()


def test_lmtp_killed_after_save_delivers_once(env, box):
    """LMTP dies after the message is in the mailbox and before its 250: the
    sender tries again, and nothing is there twice."""
    env.expect_log("killed with signal 9|signal 9|LMTP|lmtp|again|lost")
    env.faults.set("plugin.save.committed", faults.KILL)
    box.deliver("once only")
    env.wait("the kill",
             lambda: env.faults.hits("plugin.save.committed") == 1)
    env.faults.clear()
    env.wait("its deferral", lambda: [
        q for q in env.queued() if box.address in q and "499" in q])
    env.ctl("queue", "retry", "--transport", "lmtp")
    env.wait("an empty queue", lambda: not [
        q for q in env.queued() if box.address in q])
    assert box.count() == 1


def test_mailboxd_dead_means_not_saved(own_env):
    """Mailboxes can be read, saving is a temporary failure."""
    env = own_env
    env.expect_log(".")
    box = Box(env, domain=env.domain)
    assert box.append(1000)[0] == "OK"
    env.processes["smtpd"].stop()
    c, pop = box.imap(), box.pop3()
    assert int(c.select("INBOX")[1][0]) == 1
    assert box.append(1000, client=c)[0] == "NO"
    c.store("1", "+FLAGS", "\\Deleted")
    assert c.expunge()[0] == "NO"
    c.store("1", "-FLAGS", "\\Deleted")
    assert c.logout()[0] == "BYE"
    assert pop.stat()[0] == 1
    pop.dele(1)
    with pytest.raises(poplib.error_proto):
        pop.quit()
    for delivery in (None, 7):
        code, text = box.lmtp("later", delivery)
        assert code == 451, text
    env.start_smtpd()
    env.wait("saving again", lambda: box.append(1000)[0] == "OK")
    assert box.size() == box.real_size() == 2000
