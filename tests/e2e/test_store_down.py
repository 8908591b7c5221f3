"""A part that all need is away: the store locked, full or down; smtpd or
Dovecot stopped. Temporary refusals meanwhile, and recovery by itself."""
import collections
import imaplib
import os
import smtplib
import sqlite3
import ssl
import subprocess
import threading
import time

import pytest

from conftest import make_env
from test_faults import (api_once, in_mailbox, received, smtp_once, token,
                         wait_settled)
from tests.stack.process import children, title, wait_for

SOON = "MailgunRetry" + " 1s" * 60
OUTAGE = ("store: |cannot (store|read|route|look)|failpoint|cannot open|"
          "could not be stored|mailboxd|lmtp|LMTP|auth: |auth-worker|"
          "authdb|passdb|server |postgres|again")


def workers(env):
    return {title(p).split(": ")[-1]: p for p in children(
        env.processes["smtpd"].pid) if ": " in title(p)}


def fsck(env):
    done = env.ctl("fsck", check=False)
    assert done.returncode == 0, done.stdout


def temporary(reply, status):
    """The API's words for "later"."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json()["message"].endswith("Try again later.")
    assert int(reply.headers["Retry-After"]) > 0


# --- SQLite ---

@pytest.mark.stack(extra=SOON)
def test_locked_for_longer_than_we_wait(own_env):
    """Another program holds the write lock: put off, not hung, not lost."""
    env, subject = own_env, token("locked")
    if env.pg:
        pytest.skip("SQLite's lock")
    env.expect_log(OUTAGE)
    before = workers(env)
    replies = {}

    def by_api():
        replies["api"] = api_once(env, subject + "@out.test", subject)

    def by_smtp():
        replies["smtp"] = smtp_once(env, env.mailbox, subject)

    with sqlite3.connect(env.dir + "/store/mailgun.db",
                         isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        threads = [threading.Thread(target=f) for f in (by_api, by_smtp)]
        for t in threads:
            t.start()
        # readers do not wait for writers
        assert env.api("GET", "/%s/log" % env.domain).status_code == 200
        assert time.monotonic() - begun < 2
        assert in_mailbox(env, subject) == 0
        for t in threads:
            t.join()
        other.execute("ROLLBACK")
    other.close()
    temporary(replies["api"], 503)
    assert replies["smtp"][0] == 451 and replies["smtp"][1][:5] == b"4.3.0"
    assert time.monotonic() - begun < 30

    assert api_once(env, subject + "@out.test", subject).status_code == 200
    assert smtp_once(env, env.mailbox, subject)[0] == 250
    wait_settled(env)
    assert list(received(env, subject).values()) == [1]
    assert in_mailbox(env, subject) == 1
    assert workers(env) == before
    fsck(env)


def test_disk_full():
    """A real one: the store on a small file system of its own."""
    if os.getuid() != 0 or os.environ.get("MG_STORE") == "postgresql":
        pytest.skip("needs root, for a mount, and SQLite")
    env = make_env("full", extra=SOON + "\nMailgunMinFreeSpace 0")
    prepare, mounted = env.prepare, []

    def prepare_with_mount():
        prepare()
        place = env.dir + "/store"
        st = os.stat(place)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m,uid=%d,gid=%d,mode=2770"
             % (st.st_uid, st.st_gid), "tmpfs", place],
            stderr=subprocess.DEVNULL)
        if done.returncode:
            pytest.skip("mount is not allowed here")
        mounted.append(place)

    env.prepare = prepare_with_mount
    try:
        env.start()
        when_full(env)
    finally:
        env.stop()
        for place in mounted:
            subprocess.run(["umount", place], check=True)
        env.clean()


def when_full(env):
    subject, before = token("full"), workers(env)
    filler = env.dir + "/store/filler"
    with open(filler, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(65536))
        except OSError:
            pass
    # the log grows only when what it has is used up
    replies = []
    for _ in range(200):
        replies.append(api_once(env, subject + "@out.test", subject))
        if replies[-1].status_code != 200:
            break
    temporary(replies[-1], 507)
    taken = sum(r.status_code == 200 for r in replies)
    said = smtp_once(env, env.mailbox, subject, 200000)
    assert (said[0], said[1][:5]) == (452, b"4.3.1")
    assert env.api("GET", "/%s/log" % env.domain).status_code == 200
    assert in_mailbox(env, subject) == 0
    os.unlink(filler)
    assert api_once(env, subject + "@out.test", subject).status_code == 200
    assert smtp_once(env, env.mailbox, subject, 200000)[0] == 250
    wait_settled(env)
    assert list(received(env, subject).values()) == [1] * (taken + 1)
    assert in_mailbox(env, subject) == 1
    assert workers(env) == before
    fsck(env)


# --- PostgreSQL ---

class Load(threading.Thread):
    """Sends until it is told to stop; remembers what was answered."""
    def __init__(self, env, subject, kind):
        super().__init__(daemon=True)
        self.env, self.subject, self.kind = env, subject, kind
        self.done, self.replies, self.accepted = threading.Event(), [], 0

    def run(self):
        while not self.done.is_set():
            time.sleep(0.02)
            if self.kind == "api":
                reply = api_once(self.env, self.subject + "@out.test",
                                 self.subject)
                code = reply.status_code if reply is not None else None
                if code == 200:
                    self.accepted += 1
                if code == 503:
                    temporary(reply, 503)
            else:
                reply = smtp_once(self.env, self.env.mailbox, self.subject)
                code = reply[0] if reply else None
                if code == 250:
                    self.accepted += 1
            self.replies.append(code)


@pytest.mark.both
@pytest.mark.parametrize("immediately", [False, True])
def test_postgresql_restarts_under_load(immediately):
    """Connections die wherever they are, at COMMIT too. No process of ours is
    restarted; nothing is lost, nothing arrives twice."""
    if os.environ.get("MG_STORE") != "postgresql":
        pytest.skip("PostgreSQL only")
    env = make_env("down", extra=SOON)
    try:
        env.start()
        postgresql_goes_and_comes(env, immediately)
    finally:
        env.stop()
        env.clean()


def login_code(env):
    """A password that nobody can look up is not called wrong."""
    with smtplib.SMTP_SSL("127.0.0.1", env.smtps_port,
                          context=ssl._create_unverified_context()) as s:
        try:
            return s.login(env.mailbox, env.mailbox_password)[0]
        except smtplib.SMTPAuthenticationError as e:
            return e.smtp_code


def postgresql_goes_and_comes(env, immediately):
    subject, before = token("down"), workers(env)
    # logged in, and in httpd's caches
    assert api_once(env, "first@out.test", "first").status_code == 200
    loads = [Load(env, subject, kind) for kind in ("api", "smtp") * 3]
    for load in loads:
        load.start()
    time.sleep(1.5)
    env.pg.halt(immediately)
    time.sleep(1)
    temporary(api_once(env, subject + "@out.test", subject), 503)
    code, words = smtp_once(env, env.mailbox, subject)
    assert (code, words[:5]) == (451, b"4.3.0")
    temporary(env.api("GET", "/%s/log" % env.domain), 503)
    assert login_code(env) == 454
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        in_mailbox(env, subject)
    env.pg.start()
    wait_for("the API again", lambda: api_once(
        env, "again@out.test", "again").status_code == 200, 15, 0.2)
    time.sleep(1)
    for load in loads:
        load.done.set()
    for load in loads:
        load.join()
    codes = collections.Counter(c for load in loads for c in load.replies)
    assert set(codes) <= {200, 250, 451, 503}, codes
    wait_settled(env)

    at_mx = received(env, subject)
    by_api = sum(load.accepted for load in loads if load.kind == "api")
    by_smtp = sum(load.accepted for load in loads if load.kind == "smtp")
    assert login_code(env) == 235
    assert set(at_mx.values()) == {1}, at_mx
    # a 503 after a COMMIT without an answer may have been accepted
    assert by_api <= len(at_mx) <= by_api + codes[503] + 2
    there = in_mailbox(env, subject)
    assert by_smtp <= there <= by_smtp + codes[451] + 2
    assert workers(env) == before
    fsck(env)


# --- our own parts ---

@pytest.mark.both
@pytest.mark.stack(extra=SOON)
def test_smtpd_stopped(own_env):
    """httpd needs the store alone; mailboxes can be read."""
    env, subject = own_env, token("no-smtpd")
    assert smtp_once(env, env.mailbox, subject + "-before")[0] == 250
    wait_settled(env)
    env.processes["smtpd"].stop()
    env.expect_log("mailboxd|mailgun: |quota")
    assert api_once(env, subject + "@out.test", subject).status_code == 200
    assert api_once(env, env.mailbox, subject).status_code == 200
    assert in_mailbox(env, subject + "-before") == 1
    items = env.api("GET", "/%s/log" % env.domain).json()["items"]
    assert len(items) >= 2
    assert len(env.queued()) == 2
    env.start_smtpd()
    wait_settled(env)
    assert list(received(env, subject).values()) == [1]
    # SUBJECT finds substrings: the one before and this one
    assert in_mailbox(env, subject) == 2
    fsck(env)


@pytest.mark.both
@pytest.mark.stack(extra=SOON)
def test_dovecot_stopped(own_env):
    """Mail for mailboxes is taken, waits and arrives; other mail goes on."""
    env, subject = own_env, token("no-dovecot")
    assert in_mailbox(env, subject) == 0  # all its processes are up
    env.processes["dovecot"].stop()
    assert smtp_once(env, env.mailbox, subject)[0] == 250
    assert api_once(env, env.mailbox, subject).status_code == 200
    assert api_once(env, subject + "@out.test", subject).status_code == 200
    env.wait_mx(subject + "@out.test")
    wait_for("two that wait", lambda: len(env.queued()) == 2)
    env.start_dovecot()
    wait_settled(env)
    assert in_mailbox(env, subject) == 2
    fsck(env)
