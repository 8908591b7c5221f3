"""Each narrow window is hit: what dies, fails or loses its answer there.

Nothing that was acknowledged is lost, nothing arrives twice but where the
design allows it, the workers are there again, and fsck finds nothing.
"""
import collections
import imaplib
import os
import re
import smtplib
import sqlite3
import ssl
import subprocess
import threading
import time

import pytest
import requests

from conftest import make_env
from test_mailboxes import Box
from tests.stack.faults import DELAY, EIO, ENOSPC, KILL, LOST
from tests.stack.process import children, title, wait_for

pytestmark = pytest.mark.both

# what a killed process leaves in the logs, and what the others say of it
DEATHS = ("killed by signal 9|exit signal Killed|killed with signal 9|"
          "mailboxd|lmtp\\(|lmtp-client|LMTP|auth: |failpoint|store: ")


@pytest.fixture(scope="module")
def fstack():
    """A stack that tries again soon."""
    env = make_env("faults", extra="MailgunRetry" + " 1s" * 30)
    try:
        env.start()
        yield env
    finally:
        env.stop()
        env.clean()


@pytest.fixture
def fenv(fstack):
    env = fstack
    env.unannounced()
    env.expected = []
    env.expect_log(DEATHS)
    yield env
    env.faults.clear()
    found = env.unannounced()
    assert not found, "unannounced in the logs:\n" + "\n".join(found)
    fsck = env.ctl("fsck", check=False)
    assert fsck.returncode == 0, fsck.stdout


def role_pid(env, role):
    """The one worker of that role that serves."""
    if role == "apache2":
        found = children(env.processes["httpd"].pid)
    else:
        found = [p for p in children(env.processes["smtpd"].pid)
                 if ": " + role in title(p)]
    return found[0] if found else None


class Point:
    """A fault that is set; its end is waited for."""
    def __init__(self, env, who, point, action, argument=0, count=1):
        self.env, self.who, self.action = env, who, action
        self.name = who + ":" + point
        self.pid = role_pid(env, who)
        env.faults.set(self.name, action, argument, count)

    def wait_hit(self, hits=1):
        wait_for("a visit to " + self.name,
                 lambda: self.env.faults.hits(self.name) >= hits, 15, 0.01)

    def wait_over(self):
        """It was hit, and if that killed somebody there is another."""
        self.wait_hit()
        if self.action == KILL and self.pid:
            wait_for("another " + self.who, lambda: role_pid(
                self.env, self.who) not in (None, self.pid))


numbers = iter(range(1, 1000000))


def token(name):
    return "%s-%d-%d" % (name, time.time_ns(), next(numbers))


# --- clients ---

def smtp_once(env, to, subject, size=100):
    """One attempt from outside: the reply, or None if there was none."""
    line = b"x" * 70 + b"\r\n"
    try:
        with smtplib.SMTP("127.0.0.1", env.smtp_port, timeout=60) as s:
            s.ehlo("mx.example.net")
            for code, words in (s.mail("bob@example.net"), s.rcpt(to)):
                if code != 250:
                    return code, words
            return s.data(b"From: bob@example.net\r\nSubject: " +
                          subject.encode() + b"\r\n\r\n" +
                          line * (size // len(line) + 1))
    except smtplib.SMTPServerDisconnected:
        return None
    except OSError:
        return None


def smtp_insist(env, to, subject, size=100):
    """As a remote MTA does: until it is taken. All the replies."""
    replies = []
    for _ in range(40):
        replies.append(smtp_once(env, to, subject, size))
        if replies[-1] and replies[-1][0] == 250:
            return replies
        time.sleep(0.2)
    raise AssertionError("never taken: %r" % replies[-3:])


def api_once(env, to, subject, **files):
    """One POST: the reply, or None if the connection broke."""
    http = requests.Session()
    http.trust_env = False
    try:
        return http.post(
            env.api_url + "/%s/messages" % env.domain,
            auth=("api", env.key), timeout=60, files=files or None,
            data={"from": "me@" + env.domain, "to": to, "subject": subject,
                  "text": "x"})
    except requests.RequestException:
        return None


def api_insist(env, to, subject, **files):
    replies = []
    for _ in range(40):
        replies.append(api_once(env, to, subject, **files))
        if replies[-1] is not None and replies[-1].status_code == 200:
            return replies
        time.sleep(0.2)
    raise AssertionError("never taken: %r" % replies[-3:])


def in_mailbox(env, subject, box=None):
    """How often it is there."""
    client = imaplib.IMAP4_SSL("127.0.0.1", env.imaps_port,
                               ssl_context=ssl._create_unverified_context())
    client.login(box.address if box else env.mailbox,
                 box.password if box else env.mailbox_password)
    client.select("INBOX")
    found = client.search(None, 'SUBJECT', '"%s"' % subject)[1][0].split()
    client.logout()
    return len(found)


def wait_settled(env):
    """All deliveries have ended: what is to arrive has arrived."""
    wait_for("an empty queue", lambda: not env.queued(), 40, 0.1)


def received(env, subject):
    """The same, by message id, of what came to the sandbox MX."""
    return collections.Counter(
        m["message_id"] for m in env.mx_messages(subject + "@out.test"))


# --- acceptance by SMTP ---

@pytest.mark.parametrize("action", [KILL, EIO, ENOSPC, LOST])
@pytest.mark.parametrize("point", ["store.begin", "store.commit.before"])
def test_receiver_before_the_commit(fenv, point, action):
    env, subject = fenv, token("before")
    p = Point(env, "receiver", point, action)
    replies = smtp_insist(env, env.mailbox, subject)
    p.wait_over()
    if action == LOST:
        assert len(replies) == 1 # connected again and done
    else:
        first = replies[0]
        assert first is None if action == KILL else (
            first[0], first[1][:5]) == {
                EIO: (451, b"4.3.0"), ENOSPC: (452, b"4.3.1")}[action]
    wait_settled(env)
    assert in_mailbox(env, subject) == 1


@pytest.mark.parametrize("point,action,copies", [
    ("store.commit.after", KILL, 2), ("store.commit.after", LOST, 1),
    ("receiver.reply.before", KILL, 2)])
def test_receiver_after_the_commit(fenv, point, action, copies):
    """Committed; a client that was not told sends it again."""
    env, subject = fenv, token("after")
    p = Point(env, "receiver", point, action)
    replies = smtp_insist(env, env.mailbox, subject)
    p.wait_over()
    assert len(replies) == copies
    assert copies == 1 or replies[0] is None
    wait_settled(env)
    assert in_mailbox(env, subject) == copies


def test_slow_commit_is_waited_for(fenv):
    env, subject = fenv, token("slow")
    Point(env, "receiver", "store.commit.before", DELAY, 500000)
    begun = time.monotonic()
    assert smtp_once(env, env.mailbox, subject)[0] == 250
    assert time.monotonic() - begun > 0.5
    wait_settled(env)
    assert in_mailbox(env, subject) == 1


BIG = 24 * 1024 * 1024


def in_the_middle(env):
    """Content is written slice by slice: wait for the tenth."""
    env.faults.set("content.write", DELAY, 10000, -1)
    wait_for("the tenth slice",
             lambda: env.faults.hits("content.write") >= 10, 30, 0.005)


@pytest.mark.parametrize("action", [KILL, EIO, ENOSPC, LOST])
def test_receiver_in_the_middle_of_a_big_message(fenv, action):
    env, subject = fenv, token("big")
    replies = []
    t = threading.Thread(target=lambda: replies.extend(
        smtp_insist(env, env.mailbox, subject, BIG)))
    t.start()
    in_the_middle(env)
    p = Point(env, "receiver", "content.write", action)
    p.wait_over()
    env.faults.clear("content.write")
    t.join()
    assert replies[-1][0] == 250
    if action == LOST:
        assert len(replies) == 1
    else:
        assert replies[0] is None if action == KILL else replies[0][0] == {
            EIO: 451, ENOSPC: 452}[action]
    wait_settled(env)
    assert in_mailbox(env, subject) == 1


# --- acceptance by the API ---

@pytest.mark.parametrize("action", [KILL, EIO, ENOSPC, LOST])
@pytest.mark.parametrize("point", ["store.begin", "store.commit.before"])
def test_api_before_the_commit(fenv, point, action):
    env, subject = fenv, token("api-before")
    p = Point(env, "apache2", point, action)
    env.expect_log("cannot store a message")
    replies = api_insist(env, subject + "@out.test", subject)
    p.wait_over()
    if action == LOST:
        assert len(replies) == 1
    elif action == KILL:
        assert replies[0] is None
    else:
        assert replies[0].status_code == {EIO: 503, ENOSPC: 507}[action]
        assert replies[0].json()["message"].endswith("Try again later.")
        assert replies[0].headers["Retry-After"]
    wait_settled(env)
    assert list(received(env, subject).values()) == [1]


@pytest.mark.parametrize("point,action,copies", [
    ("store.commit.after", KILL, 2), ("store.commit.after", LOST, 1),
    ("leader.commit.after", KILL, 2)])
def test_api_after_the_commit(fenv, point, action, copies):
    env, subject = fenv, token("api-after")
    p = Point(env, "apache2", point, action)
    replies = api_insist(env, subject + "@out.test", subject)
    p.wait_over()
    assert len(replies) == copies
    assert copies == 1 or replies[0] is None
    wait_settled(env)
    # the one that was not answered was committed: it is delivered
    assert list(received(env, subject).values()) == [1] * copies


@pytest.mark.parametrize("action", [KILL, EIO, ENOSPC, LOST])
def test_api_in_the_middle_of_a_big_message(fenv, action):
    env, subject = fenv, token("api-big")
    env.expect_log("cannot store a message")
    replies = []
    t = threading.Thread(target=lambda: replies.extend(api_insist(
        env, subject + "@out.test", subject,
        attachment=("big.bin", b"x" * (BIG * 3 // 4)))))
    t.start()
    in_the_middle(env)
    p = Point(env, "apache2", "content.write", action)
    p.wait_over()
    env.faults.clear("content.write")
    t.join()
    if action == LOST:
        assert len(replies) == 1
    elif action == KILL:
        assert replies[0] is None
    else:
        assert replies[0].status_code == {EIO: 503, ENOSPC: 507}[action]
    wait_settled(env)
    assert list(received(env, subject).values()) == [1]


# --- delivery ---

def wait_size(box):
    """What a crash left in doubt is counted anew by the next who looks."""
    client = box.imap()
    wait_for("the right size", lambda: (
        client.getquotaroot("INBOX"), box.size() == box.real_size())[1], 20,
        0.2)
    client.logout()


@pytest.mark.parametrize("point,action", [
    ("queue.claim.after", KILL), ("queue.claim.after", EIO),
    ("queue.claim.after", LOST), ("store.commit.before", KILL),
    ("store.commit.before", EIO), ("store.commit.before", ENOSPC),
    ("store.commit.before", LOST), ("store.commit.after", KILL),
    ("store.commit.after", LOST), ("store.begin", KILL),
    ("store.begin", LOST)])
def test_sender_claims(fenv, point, action):
    """What was claimed and not begun goes out once, and soon: not when its
    lease is over."""
    env, subject = fenv, token("claim")
    p = Point(env, "sender", point, action)
    env.send(to=subject + "@out.test", subject=subject)
    p.wait_over()
    env.wait_mx(subject + "@out.test", timeout=15)
    wait_settled(env)
    assert list(received(env, subject).values()) == [1]


def said_by(env, pid):
    """Did that sender log the remote's 250 before it died?"""
    return re.search(r"sender\[%d\]: info: sent: message \d+ " % pid,
                     env.log_text("smtpd"))


@pytest.mark.parametrize("point,action,copies", [
    ("sender.reply.after", KILL, 2), ("store.begin", KILL, 2),
    ("store.commit.before", KILL, 2), ("store.commit.before", EIO, 1),
    ("store.commit.before", ENOSPC, 1), ("store.commit.before", LOST, 1),
    ("store.commit.after", KILL, 1), ("store.commit.after", LOST, 1)])
def test_sender_results(fenv, point, action, copies):
    """The remote said 250. Only a kill before our commit sends it again."""
    env, subject = fenv, token("slow-1-result")
    claimed = Point(env, "sender", "queue.claim.after", DELAY, 1)
    message_id = env.send(to=subject + "@out.test", subject=subject)
    claimed.wait_hit()
    p = Point(env, "sender", point, action)
    p.wait_over()
    wait_settled(env)
    assert received(env, subject) == {message_id: copies}
    if copies == 2:
        assert said_by(env, p.pid)


@pytest.mark.parametrize("who,point", [
    ("sender", "lmtp.reply.after"), ("sender", "store.commit.before"),
    ("lmtp", "plugin.save.committed")])
def test_mailbox_has_it_once(fenv, who, point):
    """The delivery id tells the plugin of a repeat."""
    env, box, subject = fenv, Box(fenv), token("lmtp")
    if point == "store.commit.before":
        # the claim's commit comes first; LMTP's answer is what we wait for
        answered = Point(env, "sender", "lmtp.reply.after", DELAY, 300000)
    else:
        p = Point(env, who, point, KILL)
    assert smtp_once(env, box.address, subject)[0] == 250
    if point == "store.commit.before":
        answered.wait_hit()
        p = Point(env, who, point, KILL)
    p.wait_over()
    wait_settled(env)
    assert in_mailbox(env, subject, box) == 1
    wait_size(box)


@pytest.mark.parametrize("point,action", [
    ("mailboxd.reserve.after", KILL), ("store.commit.before", KILL),
    ("store.commit.after", KILL), ("store.commit.before", EIO),
    ("store.commit.before", LOST), ("store.commit.after", LOST)])
def test_mailboxd(fenv, point, action):
    """A save whose reservation was not answered is tried again, and the
    books are right in the end."""
    env, box, subject = fenv, Box(fenv), token("quota")
    p = Point(env, "mailboxd", point, action)
    assert smtp_once(env, box.address, subject)[0] == 250
    p.wait_over()
    wait_settled(env)
    assert in_mailbox(env, subject, box) == 1
    wait_size(box)


# --- webhooks ---

@pytest.mark.parametrize("point,action,posts", [
    ("queue.claim.after", KILL, 1), ("queue.claim.after", LOST, 1),
    ("store.commit.after", LOST, 1), ("notifier.reply.after", KILL, 2)])
def test_notifier(fenv, point, action, posts):
    env, subject = fenv, token("hook")
    domain = env.new_domain()
    env.ctl("domain", "set", domain,
            "webhook.deliver=%s/%s" % (env.hook_url, subject))
    p = Point(env, "notifier", point, action)
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": subject + "@out.test", "text": "x"})
    assert reply.status_code == 200
    p.wait_over()
    wait_settled(env)
    assert len(env.hooks("/hook/" + subject)) == posts


# --- the others ---

def ask(env, sql):
    """Rows of the store, as text."""
    if env.pg:
        return [line.split("|") for line in env.pg.sql(sql).splitlines()]
    with sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % env.dir,
                         uri=True) as db:
        rows = [[str(c) for c in row] for row in db.execute(sql)]
    db.close()
    return rows


def no_content(env):
    """No content of a message that is there; what was half written stays an
    hour."""
    wait_for("the content swept", lambda: ask(
        env, "SELECT count(*) FROM content c, message m"
        " WHERE m.id = c.message_id") == [["0"]], 15)


@pytest.mark.parametrize("action", [KILL, EIO, ENOSPC, LOST])
def test_keeper(fenv, action):
    """Sweeping fails: nobody notices, and it is done a second later."""
    env, subject = fenv, token("keeper")
    no_content(env)
    p = Point(env, "keeper", "store.begin", action)
    env.send(to=subject + "@out.test", subject=subject)
    p.wait_over()
    wait_settled(env)
    assert list(received(env, subject).values()) == [1]
    no_content(env)


def test_what_was_half_written_is_swept(fenv):
    """A receiver died in the middle of a message and nobody sent it again."""
    env, subject = fenv, token("orphan")
    no_content(env)
    t = threading.Thread(target=smtp_once, args=(
        env, env.mailbox, subject, BIG))
    t.start()
    in_the_middle(env)
    p = Point(env, "receiver", "content.write", KILL)
    p.wait_over()
    env.faults.clear("content.write")
    t.join()
    assert int(ask(env, "SELECT count(*) FROM content")[0][0]) > 0
    try:
        env.faults.advance(3700)
        no_content(env)
    finally:
        env.faults.reset_clock()
    assert in_mailbox(env, subject) == 0


def test_names_of_the_points():
    """Those of mg_fault.h are those of the sources."""
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    with open(os.path.join(root, "shared/base/mg_fault.h")) as f:
        listed = set(re.findall(r"\b[a-z]+\.[a-z]+(?:\.[a-z]+)?\b", f.read()
                                .split("The points there are")[1])) - {
                                    "faults.py"}
    used = set(re.findall(r'MG_FAULT\("([^"]+)"\)', subprocess.run(
        ["grep", "-rhoE", r'MG_FAULT\("[^"]+"\)', "shared", "smtpd",
         "mod_mailgun", "dovecot-plugin"], cwd=root, check=True, text=True,
        stdout=subprocess.PIPE).stdout))
    assert listed == used
