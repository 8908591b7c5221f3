"""Mailboxes under rough treatment: kills at each point between the mailbox and
its booking, repeats, recounts, many sessions at once. In the end usage is right
to the byte, and nothing stays reserved."""
import imaplib
import os
import poplib
import random
import sqlite3
import threading
import time

import pytest

from test_mailboxes import Box, context  # noqa: F401
from tests.stack import faults
from tests.stack.process import children, title

IMAP_ERRORS = (imaplib.IMAP4.error, OSError)


@pytest.fixture
def box(env):
    return Box(env)


def store_value(env, statement, *args):
    """What the store says, read past the programs."""
    db = sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % env.dir,
                         uri=True)
    try:
        return db.execute(statement, args).fetchone()[0]
    finally:
        db.close()


def reservations(env, box):
    return store_value(
        env, "SELECT COUNT(*) FROM quota_reservation r JOIN mailbox b"
        " ON b.id = r.mailbox_id WHERE b.address = ?", box.address)


def assert_right(env, box):
    """A look at the quota has counted what was dirty."""
    def right():
        c = box.imap()
        c.getquotaroot("INBOX")
        c.logout()
        return box.size() == box.real_size() and not reservations(env, box)
    env.wait("a right size of %s" % box.address, right, 10)


def of_service(env, name):
    """The pids of Dovecot's processes of a service."""
    return [pid for pid in children(env.processes["dovecot"].pid)
            if title(pid).split(" ")[0].endswith("/" + name)]


def test_killed_between_expunge_and_book(env, box):
    env.expect_log("killed with signal 9")
    box.append(2000)
    box.append(3000)
    c = box.imap()
    c.select("INBOX")
    c.store("1", "+FLAGS", "\\Deleted")
    env.faults.set("plugin.expunge.synced", faults.KILL)
    with pytest.raises(IMAP_ERRORS):
        c.expunge()
    assert env.faults.hits("plugin.expunge.synced") == 1
    env.faults.clear()
    assert_right(env, box)
    assert box.size() == 3000


def test_killed_in_a_move(env, box):
    env.expect_log("killed with signal 9")
    box.append(2000)
    c = box.imap()
    c.create("Other")
    c.select("INBOX")
    env.faults.set("plugin.save.committed", faults.KILL)
    with pytest.raises(IMAP_ERRORS):
        c.uid("MOVE", "1", "Other")
    env.faults.clear()
    assert_right(env, box)


def test_expunge_over_quota(env):
    """Who is over a limit that was lowered can still delete."""
    box = Box(env, quota=10000)
    box.append(4000)
    box.append(4000)
    env.ctl("mailbox", "set", box.address, "quota=1000")
    time.sleep(0.3)
    assert box.append(100)[0] == "NO"
    c = box.imap()
    c.select("INBOX")
    c.create("Other")
    assert c.uid("MOVE", "1", "Other")[0] == "OK"
    c.store("1", "+FLAGS", "\\Deleted")
    assert c.expunge()[0] == "OK"
    c.logout()
    assert box.size() == box.real_size() == 4000


def test_a_repeat_is_saved_once(env, box):
    """The sender dies after LMTP's 250 and delivers again."""
    env.expect_log("signal 9|lease|lost|started|restart|ended")
    env.faults.set("lmtp.reply.after", faults.KILL)
    box.deliver("said 250 once")
    env.wait("the kill", lambda: env.faults.hits("lmtp.reply.after") == 1)
    env.faults.clear()
    env.wait("an empty queue", lambda: not [
        q for q in env.queued() if box.address in q])
    assert box.count() == 1
    assert "was saved before" in env.log_text("dovecot")
    assert_right(env, box)


def test_deliveries_by_number(env, box):
    """The same number is the same delivery in one mailbox only; what an IMAP
    client appends is no delivery."""
    other = Box(env)
    assert [box.lmtp("a", 7001)[0], box.lmtp("a", 7001)[0],
            box.lmtp("b", 7002)[0], other.lmtp("a", 7001)[0]] == [250] * 4
    assert (box.count(), other.count()) == (2, 1)
    c = box.imap()
    for _ in range(2):
        c.append("INBOX", None, None,
                 b"X-Mailgun-Delivery-Id: 7001\r\n\r\nmine\r\n")
    c.logout()
    # no number at all: each is new
    assert [box.lmtp("c")[0], box.lmtp("c")[0]] == [250] * 2
    assert box.count() == 6
    assert_right(env, box)


def test_begun_and_not_saved(env, box):
    """LMTP dies before the save: the repeat is saved."""
    env.expect_log("signal 9|LMTP|lmtp|restart|ended|started|mailboxd|lost")
    env.faults.set("mailboxd.reserve.after", faults.KILL)
    try:
        box.lmtp("begun", 7100)
    except OSError:
        pass
    env.faults.clear()
    assert box.lmtp("begun", 7100)[0] == 250
    assert box.lmtp("begun", 7100)[0] == 250
    assert box.count() == 1
    # what mailboxd reserved and could not say ends with the LMTP process
    for pid in of_service(env, "lmtp"):
        os.kill(pid, 9)
    env.expect_log("killed with signal 9")
    assert_right(env, box)


def test_doveadm_recalculates(env, box):
    box.append(2000)
    db = sqlite3.connect(env.dir + "/store/mailgun.db", timeout=10)
    db.execute("UPDATE mailbox_usage SET bytes = 77, messages = 9")
    db.commit()
    db.close()
    assert box.size() == 77
    env.doveadm("quota", "recalc", "-u", box.address)
    assert box.size() == 2000
    assert "2000" not in env.doveadm("quota", "get", "-u", box.address)
    assert env.doveadm("user", box.address).count("mailgun_mailbox_id") == 1


def test_recount_beside_saves(env):
    """Recounts and saves at once: a count that was disturbed is not taken."""
    box = Box(env)
    box.append(1000)
    stop = threading.Event()

    def save():
        c = box.imap()
        while not stop.is_set():
            box.append(random.randint(100, 5000), client=c)
        c.logout()
    threads = [threading.Thread(target=save) for _ in range(2)]
    for t in threads:
        t.start()
    done = 0
    for _ in range(10):
        try:
            env.doveadm("quota", "recalc", "-u", box.address)
            done += 1
        except AssertionError as e:
            assert "being changed" in str(e)
    stop.set()
    for t in threads:
        t.join()
    env.expect_log("being changed")
    assert_right(env, box)


class Fuzz:
    """Does at random what mail clients do, until the time is over."""
    FOLDERS = ["INBOX", "A", "B", "C"]

    def __init__(self, box, end, seed):
        self.box, self.end = box, end
        self.random = random.Random(seed)
        self.done = 0

    def run(self):
        c = None
        while time.monotonic() < self.end:
            try:
                c = c or self.box.imap()
                self.step(c)
                self.done += 1
            except IMAP_ERRORS:
                c = None
        try:
            c and c.logout()
        except IMAP_ERRORS:
            pass

    def step(self, c):
        r, folder = self.random, self.random.choice(self.FOLDERS)
        what = r.choice("append append append copy move expunge expunge "
                        "create delete".split())
        if what == "append":
            self.box.append(r.randint(100, 20000), folder, c)
        elif what == "create":
            c.create(folder)
        elif what == "delete":
            if folder != "INBOX":
                c.delete(folder)
        elif c.select(folder)[0] == "OK":
            uids = c.uid("SEARCH", "ALL")[1][0].split()
            if not uids:
                return
            some = b",".join(r.sample(uids, min(len(uids), r.randint(1, 4)))
                             ).decode()
            if what == "expunge":
                c.uid("STORE", some, "+FLAGS", "\\Deleted")
                c.expunge()
            else:
                c.uid(what.upper(), some, r.choice(self.FOLDERS))
            c.unselect()

    def run_pop3(self):
        while time.monotonic() < self.end:
            try:
                p = self.box.pop3()
                n = p.stat()[0]
                for i in self.random.sample(range(1, n + 1), min(n, 3)):
                    p.dele(i)
                p.quit()
                self.done += 1
            except (poplib.error_proto, OSError):
                pass
            time.sleep(0.1)

    def run_lmtp(self):
        while time.monotonic() < self.end:
            try:
                self.box.lmtp("z" * self.random.randint(1, 9000),
                              self.random.randint(1, 1 << 40))
                self.done += 1
            except OSError:
                pass


def fuzz(env, seconds, kill=None):
    """All of that at once on one mailbox, which is returned."""
    box = Box(env)
    end = time.monotonic() + seconds
    workers = [Fuzz(box, end, i) for i in range(6)]
    runs = [w.run for w in workers[:4]] + [workers[4].run_pop3,
                                           workers[5].run_lmtp]
    threads = [threading.Thread(target=r) for r in runs]
    for t in threads:
        t.start()
    while time.monotonic() < end:
        time.sleep(0.4)
        if kill:
            kill()
    for t in threads:
        t.join()
    assert all(w.done for w in workers), [w.done for w in workers]
    return box


# sdbox says much when a folder is deleted and made again by others at once,
# without any plugin too. What we or quota say, or a panic, is not expected.
STOCK = r"^\w{3} [ \d]\d (?!.*(mailgun:|mailboxd|quota|Panic|assert))"


def test_many_at_once(env):
    env.expect_log(STOCK)
    box = fuzz(env, 10)
    assert_right(env, box)


def test_many_at_once_and_kills(env):
    env.expect_log(STOCK)
    rnd, killed = random.Random(1), []

    def kill():
        pids = [p for s in ("imap", "pop3", "lmtp") for p in of_service(env, s)]
        if pids:
            try:
                killed.append(rnd.choice(pids))
                os.kill(killed[-1], 9)
            except ProcessLookupError:
                pass
    box = fuzz(env, 8, kill)
    assert killed
    assert_right(env, box)


WARNINGS = """
plugin {
  quota_warning = storage=80%% quota-warning over80
  quota_warning2 = -storage=80%% quota-warning under80
}
service quota-warning {
  executable = script {dir}/warn.sh
  user = {user}
  unix_listener quota-warning {
    user = {user}
  }
}
"""


@pytest.mark.skipif("MG_DOVECOT_ROOT" in os.environ,
                    reason="2.4 warns by its own limits only")
@pytest.mark.stack(dovecot_extra=WARNINGS)
def test_quota_warnings(own_env):
    """Dovecot's own warnings work with the store's limits."""
    env = own_env
    told = env.dir + "/log/warnings"
    with open(told, "w"):
        pass
    os.chmod(told, 0o666)
    with open(env.dir + "/warn.sh", "w") as f:
        f.write('#!/bin/sh\necho "$1" >> %s\n' % told)
    os.chmod(env.dir + "/warn.sh", 0o755)

    def said():
        with open(told) as f:
            return f.read().split()
    box = Box(env, quota=10000)
    box.append(6000)
    assert said() == []
    box.append(2500)
    env.wait("a warning", lambda: said() == ["over80"])
    pop = box.pop3()
    pop.dele(1)
    pop.quit()
    env.wait("the all-clear", lambda: said() == ["over80", "under80"])
