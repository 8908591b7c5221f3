"""make demo: what a newcomer meets. The release build, in build/demo/."""
import email
import glob
import hashlib
import imaplib
import json
import os
import poplib
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import threading
import time

import pytest

from test_install import MAKES, make
from tests.stack.demo import running
from tests.stack.process import title, wait_for
from tests.stack.stack import ROOT

VARIABLES = """API_URL API_KEY DOMAIN SMTP_PORT SUBMISSION_PORT SMTPS_PORT
SMTP_LOGIN SMTP_PASSWORD MAILBOX MAILBOX_PASSWORD IMAP_PORT IMAPS_PORT
POP3_PORT POP3S_PORT MX_DIR HOOK_URL HOOK_LOG TRACKING_PORT CONF""".split()
DEMO = [os.environ.get("PYTHON", "/usr/bin/python3"),
        ROOT + "/tests/stack/demo.py"]
STATE = ROOT + "/build/demo.json"


def context():
    return ssl._create_unverified_context()


def our_processes(place):
    """Pids whose command line or working files are of that demo."""
    found = []
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
        try:
            with open("/proc/%d/environ" % pid, "rb") as f:
                environ = f.read().decode("utf-8", "replace")
        except OSError:
            continue
        if place in title(pid) or place + "/faults" in environ:
            found.append((pid, title(pid)))
    return found


def places():
    """The directories that belong to the demo."""
    with open(STATE) as f:
        state = json.load(f)
    return [p for p in (state["dir"], state["elsewhere"], state["short"]) if p]


@pytest.fixture(scope="module")
def demo():
    state = running()
    if state and state["processes"]:
        pytest.skip("a demo is running; make demo-stop")
    out = make("demo", "DETACH=1")
    try:
        # sh reads it, as the README says
        text = subprocess.run(
            ["sh", "-ec", ". build/demo/env; " + " ".join(
                'printf "%%s\\0" "%s=$%s";' % (n, n) for n in VARIABLES)],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        values = dict(v.split("=", 1) for v in text.split("\0") if v)
        values["OUT"] = out
        yield values
    finally:
        make("demo-stop")


def curl(demo, path, *args):
    return subprocess.run(
        ["curl", "-s", "-k", "--user", "api:" + demo["API_KEY"],
         demo["API_URL"] + "/" + demo["DOMAIN"] + path] + list(args),
        check=True, stdout=subprocess.PIPE, text=True).stdout


def submit(demo, to, subject="by smtp"):
    with smtplib.SMTP("127.0.0.1", int(demo["SUBMISSION_PORT"])) as s:
        s.starttls(context=context())
        s.login(demo["SMTP_LOGIN"], demo["SMTP_PASSWORD"])
        s.sendmail("me@" + demo["DOMAIN"], [to], "Subject: %s\r\n\r\nx\r\n"
                   % subject)


def taken(demo, to):
    """What lies in MX_DIR for that recipient."""
    found = []
    folder = demo["MX_DIR"] + "/new"
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            message = email.message_from_bytes(f.read())
        if "<%s>" % to in message.get_all("X-Envelope-To", []):
            found.append(message)
    return found


def log_of(demo, to):
    items = json.loads(curl(demo, "/log?limit=100"))["items"]
    return [i for i in items if to in i["message"]]


def test_every_variable_says_something(demo):
    assert [n for n in VARIABLES if not demo.get(n)] == []
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+/v2", demo["API_URL"])
    assert demo["DOMAIN"] == "samples.mailgun.test"
    assert os.path.isfile(demo["CONF"])


def test_the_main_job_was_shown(demo):
    out = demo["OUT"]
    for words in ("Queued. Thank you.", "X-Envelope-To: <alex@mailgun.net>",
                  "Testing some Mailgun awesomness!", '"delivered"',
                  "At noon, by the river.", "signature = ",
                  "-> True", "make demo-stop"):
        assert words in out, words


def test_api_with_curl(demo):
    reply = json.loads(curl(
        demo, "/messages", "-F", "from=me@" + demo["DOMAIN"], "-F",
        "to=curl@example.com", "-F", "subject=by curl", "-F", "text=hi"))
    assert reply["message"] == "Queued. Thank you."
    message = wait_for("it at the MX", lambda: taken(
        demo, "curl@example.com"))[0]
    assert message["Subject"] == "by curl"
    assert "<%s>" % message["Message-Id"].strip("<>") == reply["id"]
    assert message["X-Envelope-From"].endswith("@%s>" % demo["DOMAIN"])


def test_smtp_logins(demo):
    submit(demo, "submitted@example.com")
    with smtplib.SMTP_SSL("127.0.0.1", int(demo["SMTPS_PORT"]),
                          context=context()) as s:
        s.login(demo["MAILBOX"], demo["MAILBOX_PASSWORD"])
        s.sendmail(demo["MAILBOX"], ["smtps@example.com"],
                   "Subject: by smtps\r\n\r\nx\r\n")
    for to in ("submitted@example.com", "smtps@example.com"):
        assert wait_for(to, lambda: taken(demo, to))


def test_mailbox_by_imap_and_pop3(demo):
    with smtplib.SMTP("127.0.0.1", int(demo["SMTP_PORT"])) as s:
        s.sendmail("bob@example.net", [demo["MAILBOX"]],
                   "Subject: for the box\r\n\r\nx\r\n")
    for client in (
            imaplib.IMAP4_SSL("127.0.0.1", int(demo["IMAPS_PORT"]),
                              ssl_context=context()),
            imaplib.IMAP4("127.0.0.1", int(demo["IMAP_PORT"]))):
        if not isinstance(client, imaplib.IMAP4_SSL):
            client.starttls(context())
        client.login(demo["MAILBOX"], demo["MAILBOX_PASSWORD"])
        assert wait_for("the mail", lambda: client.select("INBOX") and
                        client.search(None, "SUBJECT", '"for the box"')[1][0])
        client.logout()
    for client in (
            poplib.POP3_SSL("127.0.0.1", int(demo["POP3S_PORT"]),
                            context=context()),
            poplib.POP3("127.0.0.1", int(demo["POP3_PORT"]))):
        if not isinstance(client, poplib.POP3_SSL):
            client.stls(context())
        client.user(demo["MAILBOX"])
        client.pass_(demo["MAILBOX_PASSWORD"])
        assert client.stat()[0] >= 2
        client.quit()


def test_a_link_can_be_followed(demo):
    """As "Try next" says; the host of the link leads nowhere here."""
    sent = json.loads(curl(
        demo, "/messages", "-F", "from=me@" + demo["DOMAIN"], "-F",
        "to=reader@example.com", "-F", "text=see http://example.com/a",
        "-F", "o:tracking=yes", "-F", "o:tracking-clicks=yes"))
    assert sent["message"] == "Queued. Thank you."
    message = wait_for("the message", lambda: taken(
        demo, "reader@example.com"))[0]
    link = message.get_payload(decode=True).decode().split()[1]
    assert link.startswith("http://email.%s/c/" % demo["DOMAIN"])
    answer = subprocess.run(
        ["curl", "-s", "-i", "--connect-to",
         "::127.0.0.1:" + demo["TRACKING_PORT"], link], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    assert " 302 " in answer.splitlines()[0]
    assert "Location: http://example.com/a\n" in answer


def hooks(demo):
    with open(demo["HOOK_LOG"]) as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def test_hook_log(demo):
    submit(demo, "hooked@example.com")
    post = wait_for("the webhook", lambda: [
        h for h in hooks(demo)
        if h["fields"].get("recipient") == "hooked@example.com"])[0]
    assert {"path", "headers", "fields", "files"} <= set(post)
    assert demo["HOOK_URL"].endswith(post["path"])
    assert post["fields"]["event"] == "delivered"
    data = b"\x00file\xff" * 100
    subprocess.run(["curl", "-s", "-F", "a=1", "-F", "b=@-;filename=x.bin",
                    demo["HOOK_URL"] + "/by-hand"], input=data, check=True,
                   stdout=subprocess.DEVNULL)
    post = [h for h in hooks(demo) if h["path"].endswith("/by-hand")][0]
    assert post["fields"] == {"a": "1"}
    assert post["files"][0]["filename"] == "x.bin"
    assert post["files"][0]["sha256"] == hashlib.sha256(data).hexdigest()


def test_sandbox_plays_providers(demo):
    begun = time.monotonic()
    for local in ("bounce-550-a", "defer-451-a", "slow-2-a",
                  "drop-after-data-a"):
        submit(demo, local + "@example.com", local)
    for local, words in (("bounce-550-a", "550 5.1.1"),
                         ("defer-451-a", "451 4.7.1")):
        item = wait_for(local + " in the log",
                        lambda: [i for i in log_of(
                            demo, local + "@example.com")
                            if words in i["message"]])
        assert item[0]["hap"] in ("failed", "temporarily failed") or \
            item[0]["type"] in ("warn", "error"), item[0]
        assert not taken(demo, local + "@example.com")
    assert wait_for("the slow one", lambda: taken(
        demo, "slow-2-a@example.com"))
    assert time.monotonic() - begun >= 2
    # cut off after the data: not taken, tried again later
    assert wait_for("drop-after-data in the log", lambda: log_of(
        demo, "drop-after-data-a@example.com"))
    assert not taken(demo, "drop-after-data-a@example.com")


def test_a_second_one_says_so(demo):
    with pytest.raises(AssertionError) as e:
        make("demo", "DETACH=1")
    assert "running already; make demo-stop" in str(e.value)
    assert curl(demo, "/log")  # and does no harm


def test_stop_leaves_nothing(demo):
    there = places()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        assert our_processes(there[0])
        out = make("demo-stop")
        for name in ("httpd", "smtpd", "dovecot", "hooks", "mx"):
            assert "stopped " + name in out
        for place in there:
            assert not our_processes(place)
        for place in there[1:]:
            assert not os.path.exists(place)
        assert bystander.poll() is None
        assert "nothing is running" in make("demo-stop")
    finally:
        bystander.kill()
        bystander.wait()


def interrupted(argv, number, to_group, when):
    """Start it, send the signal when when(output) is true; its output."""
    env = {k: v for k, v in os.environ.items() if k not in MAKES}
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                         stderr=subprocess.STDOUT, env=env,
                         start_new_session=True,
                         # as a foreground job's, whatever we inherited
                         preexec_fn=lambda: signal.signal(
                             signal.SIGINT, signal.SIG_DFL))
    out = []
    reader = threading.Thread(target=lambda: out.extend(
        iter(lambda: p.stdout.read(1), "")))
    reader.start()
    try:
        wait_for("the moment", lambda: p.poll() is not None or
                 when("".join(out)), 60, 0.02)
        assert p.poll() is None, "".join(out)
        (os.killpg if to_group else os.kill)(p.pid, number)
        p.wait(60)
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        reader.join(10)
        left = os.path.exists(STATE)
        if left:
            make("demo-stop")
    assert not left
    return "".join(out)


@pytest.mark.parametrize("argv,number,to_group", [
    (["make", "-s", "demo"], signal.SIGINT, True),  # Ctrl-C at a terminal
    (DEMO + ["start"], signal.SIGTERM, False)])
def test_in_the_foreground(argv, number, to_group):
    there = []

    def up(out):
        if "Ctrl-C ends it" in out:
            there.extend(places())
        return there

    out = interrupted(argv, number, to_group, up)
    assert "Traceback" not in out, out
    for place in there:
        assert not our_processes(place)
    for place in there[1:]:
        assert not os.path.exists(place)


@pytest.mark.parametrize("moment", ["directory", "mx", "smtpd", "shown"])
def test_interrupted_early(moment):
    """While it starts: what was started by then ends too."""
    place = ROOT + "/build/demo"
    shutil.rmtree(place, ignore_errors=True)

    def now(out):
        if moment == "directory":
            return os.path.exists(place)
        if moment == "shown":
            return "Queued. Thank you." in out
        return any(os.path.exists("%s/log/%s.log" % (p, moment))
                   for p in [place] + glob.glob("/tmp/mailgun-*"))

    out = interrupted(DEMO + ["start"], signal.SIGINT, True, now)
    assert "Traceback" not in out, out
    assert not [p for p in our_processes(place)]
