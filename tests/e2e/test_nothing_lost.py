"""Nothing is lost: 2,000 messages by API and SMTP while processes die.

Each message that was answered 200 or 250 arrives: at the sandbox MX, or in the
mailbox. One that arrives twice must be paired with a kill between the remote's
250 and our commit: the sender logs the remote's 250 as it reads it, and the
pid that logged it must have been killed soon after, once for each extra copy;
or a sender was killed right after the MX took it, before anybody read the 250.
A mailbox has each message once, whatever was killed.
"""
import collections
import datetime
import imaplib
import os
import random
import re
import signal
import smtplib
import sqlite3
import ssl
import threading
import time

import pytest
import requests

from tests.stack.process import children, title

COUNT = int(os.environ.get("MG_NOTHING_LOST", "2000"))
PACE = 0.08  # seconds between two messages of one client: time to be killed in
ROLES = ("receiver", "sender", "notifier")
SOON = 5     # seconds in which a result that was logged is committed
UNREAD = 0.5 # seconds in which content is taken, and its 250 read


def victims(env):
    """(what, pid) of everything that may be killed."""
    found = []
    for pid in children(env.processes["smtpd"].pid):
        for role in ROLES:
            if role in title(pid):
                found.append((role, pid))
    for pid in children(env.processes["httpd"].pid):
        found.append(("httpd", pid))
    for pid in children(env.processes["dovecot"].pid):
        if "lmtp" in title(pid):
            found.append(("lmtp", pid))
    return found


class Killer(threading.Thread):
    def __init__(self, env):
        super().__init__(daemon=True)
        self.env, self.done = env, threading.Event()
        self.kills = []
        self.random = random.Random(7)

    def run(self):
        turn = 0
        while not self.done.wait(0.2 + self.random.random() * 0.3):
            by_role = collections.defaultdict(list)
            for what, pid in victims(self.env):
                by_role[what].append(pid)
            kinds = sorted(by_role)
            if not kinds:
                continue
            what = kinds[turn % len(kinds)]
            turn += 1
            pid = self.random.choice(by_role[what])
            try:
                os.kill(pid, signal.SIGKILL)
                self.kills.append((time.time(), what, pid))
            except ProcessLookupError:
                pass


def send_api(env, numbers, accepted):
    http = requests.Session()
    http.trust_env = False
    for n in numbers:
        time.sleep(PACE)
        to = "n%d@out.test" % n if n % 4 else env.mailbox
        for _ in range(100):
            try:
                reply = http.post(
                    env.api_url + "/%s/messages" % env.domain,
                    auth=("api", env.key), timeout=30,
                    data={"from": "me@" + env.domain, "to": to,
                          "subject": "number %d" % n, "text": "x" * 500})
            except requests.RequestException:
                time.sleep(0.2)
                continue
            if reply.status_code == 200:
                accepted[n] = to
                break
            time.sleep(0.2)


def send_smtp(env, numbers, accepted):
    for n in numbers:
        time.sleep(PACE)
        to = "n%d@out.test" % n if n % 4 else env.mailbox
        for _ in range(100):
            try:
                context = ssl._create_unverified_context()
                with smtplib.SMTP("127.0.0.1", env.submission_port,
                                  timeout=30) as s:
                    s.starttls(context=context)
                    s.login(env.smtp_login, env.smtp_password)
                    s.sendmail("me@" + env.domain, [to],
                               "From: me@%s\r\nTo: %s\r\nSubject: number %d"
                               "\r\n\r\n%s\r\n" % (env.domain, to, n,
                                                   "y" * 500))
                    accepted[n] = to
                break
            except (OSError, smtplib.SMTPException):
                if n in accepted:
                    break
                time.sleep(0.2)


def in_mailbox(env):
    client = imaplib.IMAP4_SSL("127.0.0.1", env.imaps_port,
                               ssl_context=ssl._create_unverified_context())
    client.login(env.mailbox, env.mailbox_password)
    client.select("INBOX")
    data = client.fetch(
        "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT MESSAGE-ID)])")[1]
    client.logout()
    return collections.Counter(
        (int(re.search(rb"number (\d+)", d[1]).group(1)),
         re.search(rb"<(.*)>", d[1]).group(1))
        for d in data if isinstance(d, tuple))


def at_mx(env):
    return collections.Counter(
        int(re.match(r"n(\d+)@", to).group(1))
        for m in env.mx_messages() for to in m["to"])


def arrived(env, accepted):
    mx, box = set(at_mx(env)), {n for n, _ in in_mailbox(env)}
    return all(n in (mx if to.endswith("@out.test") else box)
               for n, to in accepted.items())


def kills_after_250(env, kills, message_id):
    """How often was a process killed that had just logged this message's 250,
    or a sender before it could?"""
    died = {pid: when for when, _, pid in kills}
    senders = [when for when, what, _ in kills if what == "sender"]
    with sqlite3.connect("file:%s/store/mailgun.db?mode=ro" % env.dir,
                         uri=True) as db:
        ids = [str(row[0]) for row in db.execute(
            "SELECT id FROM message WHERE message_id = ?", (message_id,))]
    found, read = 0, []
    for line in env.log_text("smtpd").splitlines():
        m = re.match(r"(\S+)Z .*sender\[(\d+)\]: info: sent: message (\d+) ",
                     line)
        if m and m.group(3) in ids:
            said = datetime.datetime.fromisoformat(
                m.group(1) + "+00:00").timestamp()
            read.append(line.rsplit(None, 1)[-1])
            found += -0.1 < died.get(int(m.group(2)), 0) - said < SOON
    for copy in env.mx_messages():
        if copy["message_id"] == message_id and copy["file"] not in read:
            found += any(abs(when - copy["time"]) < UNREAD
                         for when in senders)
    return found


@pytest.mark.slow
@pytest.mark.stack(extra="MailgunSenders 2\nMailgunReceivers 2\n"
                         "MailgunRetry 2s 2s 2s 2s 2s 2s 2s 2s 2s 5s\n"
                         "MailgunClientLimit 1000")
def test_nothing_is_lost(own_env):
    env = own_env
    env.expect_log("was killed by signal 9|lease|quota|store|restarted|"
                   "child pid|exit signal|auth|connection|reservation|LMTP|"
                   "lmtp|killed with signal 9|lost|again|SIGKILL|dirty")
    env.ctl("domain", "set", env.domain, "webhook.deliver=" + env.hook_url)
    accepted = {}
    killer = Killer(env)
    senders = []
    for i in range(8):
        kind = send_api if i % 2 else send_smtp
        senders.append(threading.Thread(target=kind, args=(
            env, range(i, COUNT, 8), accepted)))
    killer.start()
    for t in senders:
        t.start()
    for t in senders:
        t.join()
    killer.done.set()
    killer.join()
    assert len(accepted) == COUNT
    assert {what for _, what, _ in killer.kills} == {
        "receiver", "sender", "notifier", "httpd", "lmtp"}, killer.kills
    env.wait("all accepted messages delivered",
             lambda: arrived(env, accepted), 120, )
    env.wait("an empty queue", lambda: not env.queued(), 60)

    # two ids of a number: the client was not answered and sent it again
    copies = collections.Counter(m["message_id"] for m in env.mx_messages())
    unpaired = [i for i, count in copies.items()
                if kills_after_250(env, killer.kills, i) < count - 1]
    assert not unpaired
    assert max(in_mailbox(env).values()) == 1
    env.ctl("fsck")
