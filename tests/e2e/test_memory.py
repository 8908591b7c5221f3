"""Large messages in parallel: they go to disk, not into memory."""
import os
import smtplib
import threading

import pytest

from tests.stack.process import children, title

MB = 1 << 20
SESSIONS = 8

pytestmark = pytest.mark.skipif(
    os.environ.get("MG_VARIANT") == "asan",
    reason="a sanitizer holds on to what was freed")


def memory(pid, name):
    """VmRSS or VmHWM (the most since it was reset) in octets."""
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no %s of %d" % (name, pid))


class Growth:
    """How much more memory a process had than when we began to look."""
    def __init__(self, pid):
        self.pid = pid
        with open("/proc/%d/clear_refs" % pid, "w") as f:
            f.write("5")
        self.before = memory(pid, "VmRSS")

    def most(self):
        return memory(self.pid, "VmHWM") - self.before


def in_threads(job):
    failed = []

    def run(i):
        try:
            job(i)
        except Exception as e:  # told below
            failed.append(e)
    threads = [threading.Thread(target=run, args=(i,))
               for i in range(SESSIONS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed


# 192 MB come in at once
def test_receiver_with_large_messages(env):
    domain = env.new_domain()
    receiver, = [p for p in children(env.processes["smtpd"].pid)
                 if "receiver" in title(p)]
    growth = Growth(receiver)
    line = b"x" * 70 + b"\r\n"
    body = b"Subject: large\r\n\r\n" + line * (24 * MB // len(line))
    together = threading.Barrier(SESSIONS)

    def session(i):
        with smtplib.SMTP("127.0.0.1", env.smtp_port, timeout=120) as s:
            s.ehlo("large.test")
            s.mail("bob@example.net", ["size=%d" % len(body)])
            assert s.rcpt("postmaster@" + domain)[0] == 250
            assert s.docmd("DATA")[0] == 354
            s.sock.sendall(body)
            together.wait(120)
            s.sock.sendall(b".\r\n")
            assert s.getreply()[0] == 250

    in_threads(session)
    assert growth.most() < 48 * MB
    env.wait("all delivered", lambda: not [
        q for q in env.queued() if domain in q], timeout=120)


def test_api_with_large_attachments(env):
    child = children(env.processes["httpd"].pid)
    assert len(child) == 1
    blob = os.urandom(17 * MB)
    # what a thread and a connection to the store need for good
    in_threads(lambda i: post(env, blob[:MB]))
    growth = Growth(child[0])
    in_threads(lambda i: post(env, blob))
    assert growth.most() < 48 * MB


def post(env, blob):
    import requests
    r = requests.post(
        "%s/%s/messages" % (env.api_url, env.domain), auth=("api", env.key),
        data={"from": "me@" + env.domain, "to": "x@large.test", "text": "x",
              "o:testmode": "yes"},
        files=[("attachment", ("big.bin", blob))], timeout=120)
    assert r.status_code == 200, r.text
