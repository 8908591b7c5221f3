"""The first who come to a mailbox come at once: one of them makes INBOX, the
others wait for that (dovecot-plugin/plugin-inbox.c says what else happens)."""
import fcntl
import os
import smtplib
import threading
import time

import pytest

from test_mailboxes import Box, context  # noqa: F401
from tests.stack import faults


@pytest.fixture
def box(env):
    return Box(env)


def made_file(box):
    """The file that is locked, in a home that is there."""
    home = box.env.doveadm("user", "-f", "home", box.address).strip()
    os.makedirs(home, exist_ok=True)
    if os.getuid() == 0:
        st = os.stat(box.env.dir + "/mail")
        for path in (os.path.dirname(home), home):
            os.chown(path, st.st_uid, st.st_gid)
    return home + "/inbox-made"


def at_once(jobs):
    """Each runs up to its yield; from there on all together."""
    together, failed = threading.Barrier(len(jobs)), []

    def run(job):
        try:
            steps = job()
            next(steps)
            together.wait(30)
            list(steps)
        except Exception as e:  # told below
            failed.append(e)
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed


def lmtp(box):
    with smtplib.LMTP(box.env.run + "/dovecot/lmtp") as s:
        s.ehlo_or_helo_if_needed()
        s.mail("<bob@example.net>")
        assert s.rcpt(box.address)[0] == 250
        assert s.docmd("DATA")[0] == 354
        yield
        s.send(b"Subject: first\r\n\r\nx\r\n.\r\n")
        code, text = s.getreply()
        assert code == 250, text


def select(box):
    client = box.imap()
    yield
    assert client.select("INBOX")[0] == "OK"
    assert client.list()[0] == "OK"
    client.logout()


def look(box):
    client = box.imap()
    yield
    assert client.list()[0] == "OK"
    assert client.status("INBOX", "(MESSAGES)")[0] == "OK"
    client.logout()


def create(box):
    client = box.imap()
    yield
    assert client.create("Sent")[0] == "OK"
    client.logout()


@pytest.mark.parametrize("kinds", [
    (lmtp, lmtp, lmtp, lmtp), (select, select, look, look),
    (lmtp, lmtp, select, look, create)],
    ids=["deliveries", "sessions", "both"])
def test_the_first_come_at_once(env, kinds):
    domain = env.new_domain()
    for _ in range(5):
        box = Box(env, domain=domain)
        at_once([lambda kind=kind: kind(box) for kind in kinds])
        client = box.imap()
        messages = kinds.count(lmtp)
        answer = client.status("INBOX", "(MESSAGES UNSEEN UIDNEXT)")[1][0]
        assert b"(MESSAGES %d UIDNEXT %d UNSEEN %d)" % (
            messages, messages + 1, messages) in answer
        names = [line.rsplit(b" ", 1)[1] for line in client.list()[1]]
        assert sorted(names) == ([b"INBOX", b"Sent"] if create in kinds
                                 else [b"INBOX"])
        client.logout()


def test_who_waits_for_inbox(env, box):
    path = made_file(box)
    with open(path, "w") as held:
        os.chmod(path, 0o666)
        fcntl.flock(held, fcntl.LOCK_EX)
        thread = threading.Thread(target=at_once, args=([
            lambda: lmtp(box), lambda: lmtp(box)],))
        thread.start()
        time.sleep(0.5)
        files = [f for _, _, names in os.walk(os.path.dirname(path))
                 for f in names]
        assert files == ["inbox-made"]      # no index, no message
    thread.join()
    assert os.path.getsize(path) == 1
    assert box.count() == 2


def test_killed_when_inbox_was_made(env, box):
    env.expect_log("killed with signal 9")
    path = made_file(box)
    env.faults.set("plugin.inbox.made", faults.KILL)
    with pytest.raises((OSError, smtplib.SMTPException)):
        box.lmtp()
    assert env.faults.hits("plugin.inbox.made") == 1
    env.faults.clear()
    assert os.path.getsize(path) == 0
    assert box.lmtp()[0] == 250
    assert os.path.getsize(path) == 1
    assert box.count() == 1
