"""How destinations are treated: as many connections as a receiver takes,
others undisturbed by those that are dead or slow, fair among who sends."""
import json
import os
import sqlite3
import time

import pytest


def sessions_of(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def send_many(env, addresses, domain=None):
    for address in addresses:
        reply = env.api("POST", "/%s/messages" % (domain or env.domain), data={
            "from": "me@" + (domain or env.domain), "to": address,
            "subject": "one of many", "text": "x"})
        assert reply.status_code == 200, reply.text


def wait_all(env, addresses, timeout=60):
    def missing():
        there = {to for m in env.mx_messages() for to in m["to"]}
        return [a for a in addresses if a not in there]
    env.wait("all messages", lambda: not missing(), timeout)


def test_a_receiver_that_takes_five_connections(own_env):
    """421 above five: it is asked for more once or twice, then no more, and
    gets every message; after a restart it is still known."""
    env = own_env
    path = env.dir + "/log/sessions.json"
    env.processes["mx"].stop()
    env.start_mx("--connections", "5", "--sessions", path)
    first = ["wait-200-%d@lim.test" % n for n in range(120)]
    send_many(env, first)
    wait_all(env, first)
    seen = sessions_of(path)
    assert max(s["open"] for s in seen if not s["refused"]) == 5
    assert 1 <= sum(s["refused"] for s in seen) <= 4
    assert not env.log_text("smtpd").count("deferred:")

    def destinations():
        return [line for line in env.ctl("queue", "destinations").splitlines()
                if line.startswith("smtp [127.0.0.1]:%d" % env.mx_port)]
    env.wait("what was learned", lambda: any(
        "5 of 5" in line and "421 4.7.0 too many" in line
        for line in destinations()))

    env.restart("smtpd")
    seen = len(sessions_of(path))
    more = ["wait-200-%d@more.test" % n for n in range(60)]
    send_many(env, more)
    wait_all(env, more)
    assert not [s for s in sessions_of(path)[seen:] if s["refused"]]
    assert max(s["open"] for s in sessions_of(path)[seen:]) == 5


@pytest.mark.stack(extra="MailgunDestination paced.test connections=2 "
                   "messages=5 rate=20/s")
def test_limits_of_the_configuration(own_env):
    env = own_env
    to = ["p%d@paced.test" % n for n in range(30)]
    send_many(env, to)
    wait_all(env, to)
    taken = [m for m in env.mx_messages() if m["to"][0] in to]
    by_peer = {}
    for m in taken:
        by_peer.setdefault(m["peer"], []).append(m["time"])
    assert max(len(times) for times in by_peer.values()) <= 5
    # thirty at twenty a second: whatever the machine does, not faster
    times = sorted(m["time"] for m in taken)
    assert times[-1] - times[0] >= 29 / 20 - 0.2


# --- a full queue ---

ROWS = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
 WHERE i < {count}) INSERT INTO delivery (id, message_id, account_id,
 domain_id, transport, recipient, recipient_as_given, variables, dest, target,
 payload, due_at, created_at, expires_at) SELECT d.id + {first} + n.i, m.id,
 d.account_id, d.id, 1, 'a' || n.i || '@{dest}', 'a' || n.i || '@{dest}', '{{}}',
 '{dest}', '', '', m.created_at, m.created_at, m.created_at + 86400000000
 FROM n, message m, domain d WHERE d.name = '{domain}' AND m.domain_id = d.id
 AND m.subject = 'seed'"""


def run_sql(env, sql):
    if env.pg:
        env.pg.sql(sql)
        return
    with sqlite3.connect(env.dir + "/store/mailgun.db", timeout=60) as db:
        db.execute(sql)
    db.close()


def seed(env, domain, dest, count, first=1000000000):
    """A domain's backlog, put into the store as rows: of a message that waits
    for tomorrow itself."""
    reply = env.api("POST", "/%s/messages" % domain, data={
        "from": "me@" + domain, "to": "tomorrow@" + dest, "subject": "seed",
        "text": "x", "o:deliverytime": str(int(time.time()) + 80000)})
    assert reply.status_code == 200, reply.text
    env.processes["smtpd"].stop()
    run_sql(env, ROWS.format(count=count, first=first, dest=dest,
                             domain=domain))
    env.start_smtpd()


@pytest.mark.both
def test_a_domain_with_one_message_does_not_wait(own_env):
    """Domain A has 50,000 queued, to the same destination; B sends one."""
    env = own_env
    a, b = env.new_domain(), env.new_domain()
    seed(env, a, "big.test", 50000)
    env.wait("A's first", lambda: len(env.mx_messages()) > 20, 60)
    before = time.time()
    send_many(env, ["b@big.test"], b)
    line = env.wait_mx("b@big.test", timeout=30)[0]
    # how many of A's went out meanwhile says it on any machine; on one that
    # has nothing else to do it is a second too
    between = [m for m in env.mx_messages()
               if before < m["time"] < line["time"]]
    assert len(between) < 2000
    if os.getloadavg()[0] < 2 * os.cpu_count():
        assert line["time"] - before < 1


@pytest.mark.stack(extra="MailgunClaims 60\nMailgunRetry 10m\n"
                   "MailgunTransport dead.test 127.0.0.1:1")
def test_dead_and_slow_ones_do_not_fill_the_memory(own_env):
    """Many more for destinations that are dead or slow than a sender holds:
    the others' mail goes out all the same."""
    env = own_env
    domain = env.new_domain()
    with open(env.dir + "/etc/mailgun.conf", "a") as f:
        f.write("MailgunTransport slow.test localhost:%d\n" % env.mx_port)
    seed(env, domain, "dead.test", 2000)
    slow = ["slow-30-%d@slow.test" % n for n in range(40)]
    send_many(env, slow, domain)
    living = ["ok%d@x%d.test" % (n, n % 10) for n in range(100)]
    send_many(env, living, domain)
    wait_all(env, living)
    there = {to for m in env.mx_messages() for to in m["to"]}
    assert not there & set(slow)
    text = env.ctl("queue", "destinations")
    dead = [line for line in text.splitlines()
            if "dead.test" in line and "127.0.0.1]:1 " in line]
    assert dead and " 2001 " in dead[0] and "refused" in dead[0], text


@pytest.mark.both
def test_scheduled_mail_survives_a_restart(own_env):
    env = own_env
    due = int(time.time()) + 3600
    reply = env.api("POST", "/%s/messages" % env.domain, data={
        "from": "me@" + env.domain, "to": "later@x.test", "subject": "later",
        "text": "x", "o:deliverytime": str(due)})
    assert reply.status_code == 200, reply.text
    env.restart("smtpd")
    send_many(env, ["now@x.test"])
    env.wait_mx("now@x.test")
    assert not env.mx_messages("later@x.test")
    # to two seconds before its time: not yet, then in time
    ahead = due - time.time() - 2
    env.faults.advance(ahead)
    line = env.wait_mx("later@x.test")[0]
    late = line["time"] + ahead - due
    assert late > -0.5
    if os.getloadavg()[0] < 2 * os.cpu_count():
        assert late < 2


@pytest.mark.stack(extra="MailgunWarmup first=3 growth=100 days=30")
def test_a_new_domain_begins_gently(own_env):
    """Three on the first day, six on the second; the rest waits."""
    env = own_env
    domain = env.new_domain()
    to = ["w%d@x.test" % n for n in range(12)]
    send_many(env, to, domain)

    def taken():
        return sum(m["to"][0] in to for m in env.mx_messages())
    env.wait("the first day's", lambda: taken() == 3)
    env.wait("the rest to be put off", lambda: sum(
        "in hand" not in line and "due now" not in line
        for line in env.queued()) == 9)
    env.faults.advance(86400)
    env.wait("the second day's", lambda: taken() == 9)
    env.faults.advance(86400)
    env.wait("the third day's", lambda: taken() == 12)
