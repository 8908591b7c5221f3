"""Starting, stopping, dying: httpd's graceful restarts, smtpd's signals."""
import os
import re
import signal
import smtplib
import socket
import threading
import time

import pytest
import requests

from tests.stack.process import children, title, wait_for


def role_pids(env, role):
    return [pid for pid in children(env.processes["smtpd"].pid)
            if role in title(pid)]


def hammer(env, stop, results):
    """One keep-alive connection: raw, so that a reset is seen as one."""
    body = ("from=me%%40%s&to=x%%40grace.test&subject=g&text=y"
            % env.domain).encode()
    import base64
    auth = base64.b64encode(b"api:" + env.key.encode()).decode()
    head = ("POST /v2/%s/messages HTTP/1.1\r\nHost: localhost\r\n"
            "Authorization: Basic %s\r\nContent-Type: "
            "application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
            % (env.domain, auth, len(body))).encode()
    sock, rest = None, b""
    while not stop.is_set():
        if sock is None:
            sock = socket.create_connection(("127.0.0.1", env.api_port), 30)
            sock.settimeout(60)
            fresh = True
        sent, data = False, b""
        try:
            sock.sendall(head + body)
            sent = True
            while b"\r\n\r\n" not in data:
                got = sock.recv(65536)
                if not got:
                    raise ConnectionResetError("closed")
                data += got
        except OSError as e:
            # a server may close an idle keep-alive connection at any time
            # (RFC 9112 9.3.1); a request that was sent has an answer
            if sent or fresh:
                results.append("reset: %r" % e)
            sock.close()
            sock = None
            continue
        fresh = False
        headers, rest = data.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"Content-Length: (\d+)", headers).group(1))
        while len(rest) < length:
            rest += sock.recv(65536)
        results.append(int(headers.split()[1]))
        if re.search(rb"Connection: close", headers, re.I):
            sock.close()
            sock = None


@pytest.mark.slow
def test_graceful_restarts_under_load(own_env):
    env = own_env
    seconds = float(os.environ.get("MG_GRACEFUL_SECONDS", "60"))
    stop, results = threading.Event(), []
    threads = [threading.Thread(target=hammer, args=(env, stop, results))
               for _ in range(32)]
    for t in threads:
        t.start()
    for _ in range(20):
        time.sleep(seconds / 20)
        env.graceful()
    stop.set()
    for t in threads:
        t.join()
    assert set(results) == {200}, {r: results.count(r) for r in set(results)}
    env.expect_log("Graceful restart requested|scoreboard is full")
    accepted = env.wait("the accepted count", lambda: int(re.search(
        r"accepted\D+(\d+)", env.ctl("fsck")).group(1)))
    assert accepted == len(results)


def test_worker_that_dies_is_started_again(env):
    env.expect_log("killed by signal 9")
    for role in ("receiver", "sender", "notifier", "keeper", "auth",
                 "mailboxd"):
        pid = role_pids(env, role)[0]
        os.kill(pid, signal.SIGKILL)
        wait_for("another " + role, lambda: [
            p for p in role_pids(env, role) if p != pid])
        assert re.search(r"%s 0 \(pid %d\) was killed by signal 9" % (
            role, pid), env.log_text("smtpd"))
    env.send(to="after@kill.test")
    env.wait_mx("after@kill.test")


def test_sighup_rereads_the_configuration(own_env):
    env = own_env
    path = env.dir + "/etc/mailgun.conf"
    before = role_pids(env, "receiver")
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as old:
        old.ehlo("old.test")
        old.mail("bob@example.net")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace("MailgunHostname mail.mailgun.test",
                                 "MailgunHostname new.mailgun.test"))
        os.kill(env.processes["smtpd"].pid, signal.SIGHUP)
        wait_for("the new name in the greeting", lambda: b"new.mailgun" in
                 greeting(env))
        # a session with a message under way goes on
        assert old.rcpt(env.mailbox)[0] == 250
    with open(path, "w") as f:
        f.write(text + "MailgunSenders many\n")
    env.expect_log("MailgunSenders: 'many'")
    os.kill(env.processes["smtpd"].pid, signal.SIGHUP)
    wait_for("what is wrong, in the log", lambda: re.search(
        r"mailgun.conf:\d+: MailgunSenders", env.log_text("smtpd")))
    assert greeting(env)
    assert set(role_pids(env, "receiver")) != set(before)


def greeting(env):
    s = socket.create_connection(("127.0.0.1", env.smtp_port), 5)
    s.settimeout(5)
    try:
        return s.recv(1000)
    finally:
        s.close()


def test_graceful_stop_finishes_sessions(own_env):
    env = own_env
    s = smtplib.SMTP("127.0.0.1", env.smtp_port)
    s.ehlo("slow.test")
    s.mail("bob@example.net")
    s.rcpt(env.mailbox)
    s.docmd("DATA")
    os.kill(env.processes["smtpd"].pid, signal.SIGTERM)
    time.sleep(0.5)
    s.send(b"Subject: last words\r\n\r\nx\r\n.\r\n")
    code, text = s.getreply()
    assert code == 250, text
    assert env.processes["smtpd"].popen.wait(40) == 0
    assert len(env.queued()) == 1
    env.start_smtpd()
    env.wait("the message in the mailbox", lambda: not env.queued())


@pytest.mark.stack(extra="MailgunMinFreeSpace 100T")
def test_no_space_accepts_nothing(own_env):
    env = own_env
    env.expect_log("MailgunMinFreeSpace")
    reply = env.api("POST", "/%s/messages" % env.domain, data={
        "from": "me@" + env.domain, "to": "a@b.test", "text": "x"})
    assert reply.status_code == 507
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.ehlo("x.test")
        code, text = s.mail("bob@example.net")
        assert (code, text[:5]) == (452, b"4.3.1")
