"""A day of mixed traffic, pressed into minutes, while processes die.

The clock runs 144 times as fast: MG_DAY=600 (make day) is 24 hours, the suite's
own 45 seconds are nearly two. Customers send by API and SMTP, in batches and to
a list; the world sends to mailboxes, to routes that post, forward and store;
some of what we send to is slow, puts off, refuses, cuts the line; applications
fail at times; somebody reads and deletes his mail. All the while processes are
killed. In the end every recipient of every message that was taken is accounted
for, mailboxes hold each message once, fsck finds nothing.
"""
import collections
import imaplib
import itertools
import os
import random
import re
import signal
import smtplib
import ssl
import subprocess
import threading
import time

import pytest
import requests

from tests.stack.process import children, title

SECONDS = float(os.environ.get("MG_DAY", "45"))
FASTER = 144
TICK = 0.5
ROLES = ("receiver", "sender", "notifier", "keeper", "mailboxd", "auth")
MEMBERS = 25


class Day:
    """What was taken, and what has to come of it."""
    def __init__(self, env):
        self.env = env
        self.done = threading.Event()
        self.number = itertools.count(1)
        self.lock = threading.Lock()
        self.taken = []          # (kind, number, recipients)
        self.kills = []          # (time, what)
        self.seen = collections.Counter()  # numbers in the mailbox, as read
        self.errors = []

    def note(self, kind, number, recipients):
        with self.lock:
            self.taken.append((kind, number, recipients))

    def of(self, kind):
        return [(n, to) for k, n, to in self.taken if k == kind]


def clock(day):
    while not day.done.wait(TICK):
        day.env.faults.advance(TICK * (FASTER - 1))


# --- who dies ---

def victims(env):
    found = []
    for pid in children(env.processes["smtpd"].pid):
        found += [(role, pid) for role in ROLES if role in title(pid)]
    for pid in children(env.processes["httpd"].pid):
        found.append(("httpd", pid))
    for pid in children(env.processes["dovecot"].pid):
        if "lmtp" in title(pid):
            found.append(("lmtp", pid))
    return found


def killer(day):
    chance, turn = random.Random(5), 0
    while not day.done.wait(0.5 + chance.random()):
        by_role = collections.defaultdict(list)
        for what, pid in victims(day.env):
            by_role[what].append(pid)
        what = sorted(by_role)[turn % len(by_role)]
        turn += 1
        try:
            os.kill(chance.choice(by_role[what]), signal.SIGKILL)
            day.kills.append((time.time(), what))
        except ProcessLookupError:
            pass


# --- who sends ---

def outside(n, chance):
    """An address of the world: (kind, address)."""
    behaviour = chance.choice(["", "", "", "", "greylist-2-", "wait-300-",
                               "drop-after-data-", "drop-after-rcpt-",
                               "bounce-550-", "reject-554-"])
    kind = "refused" if behaviour.startswith(("bounce", "reject")) \
        else "outside"
    return kind, "%sn%d@out%d.test" % (behaviour, n, n % 20)


def until_taken(day, attempt):
    """Again until it is answered: as clients do."""
    for _ in range(60):
        try:
            if attempt():
                return True
        except (OSError, smtplib.SMTPException, requests.RequestException):
            pass
        if day.done.wait(0.3):
            return False
    return False


def by_api(day, http, fields, key):
    r = http.post(day.env.api_url + "/%s/messages" % day.env.domain,
                  auth=("api", key), timeout=30, data=dict(
                      {"from": "me@" + day.env.domain, "text": "x" * 300},
                      **fields))
    return r.status_code == 200


def customer_by_api(day, seed):
    env, chance = day.env, random.Random(seed)
    http = requests.Session()
    http.trust_env = False
    while not day.done.wait(0.1):
        n = next(day.number)
        what = chance.random()
        if what < 0.1:
            to = ["b%d-%d@out%d.test" % (n, i, i) for i in range(5)]
            fields = {"to": to, "recipient-variables": "{%s}" % ",".join(
                '"%s": {"i": %d}' % (t, i) for i, t in enumerate(to)),
                "subject": "number %d for %%recipient.i%%" % n}
            kind = "outside"
        elif what < 0.15:
            kind, to = "list", [env.list]
            fields = {"to": to, "subject": "number %d" % n}
        elif what < 0.3:
            kind, to = "mailbox", [env.mailbox]
            fields = {"to": to, "subject": "number %d" % n}
        else:
            kind, one = outside(n, chance)
            to, fields = [one], {"to": one, "subject": "number %d" % n,
                                 "o:tag": "day"}
        if until_taken(day, lambda: by_api(day, http, fields, env.key)):
            day.note(kind, n, to)


def text(n, sender, to):
    return ("From: %s\r\nTo: %s\r\nSubject: number %d\r\nMessage-Id: "
            "<%d@day.test>\r\n\r\nx\r\n" % (sender, to, n, n)).encode()


def customer_by_smtp(day, seed):
    env, chance = day.env, random.Random(seed)

    def attempt(n, to):
        with smtplib.SMTP("127.0.0.1", env.submission_port, timeout=30) as s:
            s.starttls(context=ssl._create_unverified_context())
            s.login(env.smtp_login, env.smtp_password)
            s.sendmail("me@" + env.domain, [to],
                       text(n, "me@" + env.domain, to))
        return True

    while not day.done.wait(0.2):
        n = next(day.number)
        kind, to = outside(n, chance) if n % 4 else ("mailbox", env.mailbox)
        if until_taken(day, lambda: attempt(n, to)):
            day.note(kind, n, [to])


def world(day, seed):
    """To our domains, from outside."""
    env, chance = day.env, random.Random(seed)

    def attempt(n, to):
        with smtplib.SMTP("127.0.0.1", env.smtp_port, timeout=30) as s:
            s.ehlo()
            s.sendmail("al@example.net", [to], text(n, "al@example.net", to))
        return True

    def swaks(n, to):
        return subprocess.run(
            ["swaks", "--server", "127.0.0.1:%d" % env.smtp_port, "--from",
             "al@example.net", "--to", to, "--header", "Subject: number %d"
             % n], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).returncode == 0

    while not day.done.wait(0.15):
        n = next(day.number)
        kind = chance.choice(["mailbox", "posted", "forwarded", "stored",
                              "all"])
        to = env.mailbox if kind == "mailbox" else "%s-%d@%s" % (
            kind, n, env.domain)
        send = swaks if n % 7 == 0 else attempt
        if until_taken(day, lambda: send(n, to)):
            day.note(kind, n, [to])


# --- who reads ---

def number_of(fetched):
    return int(re.search(rb"number (\d+)", fetched).group(1))


def read_all(env, delete):
    """Numbers in the mailbox; some are deleted."""
    found = []
    client = imaplib.IMAP4_SSL("127.0.0.1", env.imaps_port, timeout=30,
                               ssl_context=ssl._create_unverified_context())
    client.login(env.mailbox, env.mailbox_password)
    client.select("INBOX")
    data = client.uid("FETCH", "1:*",
                      "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    for one in data or []:
        if isinstance(one, tuple):
            uid = re.search(rb"UID (\d+)", one[0]).group(1).decode()
            found.append((uid, number_of(one[1])))
    gone = found[:len(found) // 2] if delete else []
    for uid, _ in gone:
        client.uid("STORE", uid, "+FLAGS", r"(\Deleted)")
    if gone:
        client.expunge()
    client.logout()
    return found, gone


def counted(env):
    """Somebody asks for his quota, when all is quiet: a mailbox whose process
    died is counted again then. (what IMAP has, what the API says)"""
    client = imaplib.IMAP4_SSL("127.0.0.1", env.imaps_port, timeout=30,
                               ssl_context=ssl._create_unverified_context())
    client.login(env.mailbox, env.mailbox_password)
    client.getquotaroot("INBOX")
    client.select("INBOX", readonly=True)
    sizes = [int(n) for n in re.findall(
        rb"RFC822.SIZE (\d+)", b" ".join(
            client.fetch("1:*", "(RFC822.SIZE)")[1]))]
    client.logout()
    boxes = env.api("GET", "/%s/mailboxes" % env.domain).json()["items"]
    return sum(sizes), [b["size_bytes"] for b in boxes
                        if b["mailbox"] == env.mailbox][0]


def reader(day):
    while not day.done.wait(2):
        try:
            _, gone = read_all(day.env, True)
        except (OSError, imaplib.IMAP4.error, AttributeError):
            continue
        day.seen.update(n for _, n in gone)


# --- the end ---

def at_mx(env):
    """(number or None, address) -> when each copy was taken."""
    copies = collections.defaultdict(list)
    for m in env.mx_messages():
        for to in m["to"]:
            copies[m["message_id"], to].append(m["time"])
    return copies


def reached(copies):
    return collections.Counter(to for _, to in copies)


def missing(day):
    env, copies = day.env, at_mx(day.env)
    to_mx = reached(copies)
    posts = collections.Counter(
        re.search(r"number (\d+)", h["fields"]["subject"]).group(1)
        for h in env.hooks("/flaky/day") if not h["failed"])
    in_box = {n for _, n in read_all(env, False)[0]} | set(day.seen)
    lost = []
    for kind, n, recipients in day.taken:
        if kind == "outside":
            lost += [(kind, n, to) for to in recipients if not to_mx[to]]
        if kind == "mailbox" and n not in in_box:
            lost.append((kind, n))
        if kind in ("posted", "all") and not posts[str(n)]:
            lost.append((kind, n, "posted"))
        if kind in ("forwarded", "all") and not to_mx[
                "%s-%d@forward.test" % (kind, n)]:
            lost.append((kind, n, "forwarded"))
    lists = len(day.of("list"))
    for i in range(MEMBERS):
        member = "m%d@members.test" % i
        if to_mx[member] < lists:
            lost.append(("list", member, to_mx[member], lists))
    return lost


def stored_and_refused(day):
    """By the events of the domain."""
    env = day.env

    def recipients(kind):
        found, url = collections.Counter(), env.api_url.replace(
            "/v2", "/v3") + "/%s/events?event=%s&limit=300" % (env.domain,
                                                               kind)
        while True:
            page = env.http.get(url, auth=("api", env.key), timeout=60).json()
            if not page["items"]:
                return found
            found.update(e["recipient"] for e in page["items"])
            url = page["paging"]["next"]

    stored, failed = recipients("stored"), recipients("failed")
    lost = [to for _, (to,) in day.of("stored") if not stored[to]]
    lost += [to for _, tos in day.of("refused") for to in tos
             if not failed[to]]
    return lost


def unexplained(day):
    """Copies more than one of a message for an address, without a death of a
    sender (or of the whole line) between them."""
    deaths = [when for when, what in day.kills if what == "sender"]
    found = []
    for (message_id, to), times in at_mx(day.env).items():
        times.sort()
        for one, two in zip(times, times[1:]):
            cut = to.startswith("drop-after-data")
            if not cut and not any(one - 1 <= when <= two for when in deaths):
                found.append((message_id, to, one, two))
    return found


def settle(day):
    """What was put off becomes due, half an hour at a time: who is in the
    middle of something has a second or two in between."""
    for _ in range(60):
        day.env.faults.advance(1800)
        for _ in range(15):
            if not day.env.queued():
                return
            time.sleep(0.1)
    pytest.fail("not settled: " + "\n".join(day.env.queued()[:20]))


def prepare(env):
    env.list = "list@" + env.domain
    for path, data in (
            ("/lists", {"address": env.list}),
            ("/lists/%s/members.json" % env.list, {"members": "[%s]" % ",".join(
                '"m%d@members.test"' % i for i in range(MEMBERS))}),
            ("/routes", {"priority": 1, "action": "stop()",
                         "expression": "match_recipient('%s')" % env.mailbox}),
            ("/routes", {"priority": 2, "expression":
                         r"match_recipient('(posted|all)-\d+@.*')",
                         "action": "forward('http://127.0.0.1:%d/flaky/day')"
                         % env.hook_port}),
            ("/routes", {"priority": 3, "expression":
                         r"match_recipient('((?:forwarded|all)-\d+)@.*')",
                         "action": r"forward('\1@forward.test')"}),
            ("/routes", {"priority": 4, "action": "store()", "expression":
                         r"match_recipient('stored-\d+@.*')"})):
        r = env.api("POST", path, data=data)
        assert r.status_code == 200, r.text
    env.ctl("domain", "set", env.domain, "webhook.deliver=" + env.hook_url)


@pytest.mark.slow
@pytest.mark.both
@pytest.mark.stack(extra="MailgunSenders 2\nMailgunReceivers 2\n"
                         "MailgunClientLimit 1000\nMailgunLease 6h\n"
                         "MailgunARC off\n")
def test_a_day(own_env):
    env = own_env
    env.expect_log("killed by signal 9|exit signal|child pid|killed with signal"
                   "|lease|quota|store|restarted|auth|connection|reservation|"
                   "LMTP|lmtp|lost|again|dirty|bounce: .* to a mailbox|claims")
    prepare(env)
    day = Day(env)
    threads = [threading.Thread(target=run, args=(day,) + more) for run, more
               in ((customer_by_api, (1,)), (customer_by_api, (2,)),
                   (customer_by_smtp, (3,)), (world, (4,)), (world, (5,)),
                   (reader, ()), (killer, ()), (clock, ()))]
    for t in threads:
        t.start()
    time.sleep(SECONDS)
    day.done.set()
    for t in threads:
        t.join()
    print("%d messages, %d kills" % (len(day.taken), len(day.kills)))
    assert len({kind for kind, _, _ in day.taken}) == 8
    assert len({what for _, what in day.kills}) >= 6

    settle(day)
    assert not missing(day)
    assert not stored_and_refused(day)
    assert not unexplained(day)
    there = collections.Counter(n for _, n in read_all(env, False)[0])
    there.update(day.seen)
    # a client that was not answered sent it again: another message
    boxed = collections.Counter(n for n, _ in day.of("mailbox"))
    more = {n: c for n, c in there.items() if c > 1}
    assert len(more) <= len(day.kills), (more, boxed)
    there, said = counted(env)
    assert there == said
    env.ctl("fsck")
