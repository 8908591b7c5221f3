#!/usr/bin/python3
"""make demo: the main job, end to end, on loopback in build/demo/.

  demo.py start            until Ctrl-C
  demo.py start --detach   leaves it running
  demo.py stop             stops exactly what was started
"""
import hashlib
import hmac
import json
import os
import shlex
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.stack.process import wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

PLACE = os.path.join(ROOT, "build", "demo")
STATE = os.path.join(ROOT, "build", "demo.json")
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def verify(api_key, token, timestamp, signature):
    """The manual's own (in 2012 str was bytes)."""
    return signature == hmac.new(
        key=api_key.encode(),
        msg='{}{}'.format(timestamp, token).encode(),
        digestmod=hashlib.sha256).hexdigest()


def title(text):
    print("\n%s== %s ==%s" % (BOLD, text, PLAIN))


def as_typed(argv):
    """A command over several lines, options with their arguments."""
    words = []
    for word in argv:
        quoted = shlex.quote(word)
        if words and words[-1].startswith("-") and " " not in words[-1] and \
                words[-1] not in ("-s", "-k", "-G"):
            words[-1] += " " + quoted
        else:
            words.append(quoted)
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) > 70:
            lines.append("   ")
        lines[-1] += " " + word
    return " \\\n".join(lines)


def show(argv, stdin=None):
    """Print a command as one would type it, run it, print its reply."""
    line = "$ " + as_typed(argv)
    print("\n" + BOLD + line + PLAIN, flush=True)
    done = subprocess.run(argv, input=stdin, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout.replace("\r\n", "\n").rstrip(), flush=True)
    if done.returncode:
        raise SystemExit("demo: that command failed (%d)" % done.returncode)
    return done.stdout


def start_time(pid):
    """Tells a process from a later one with the same number."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def remember(stack):
    with open(STATE, "w") as f:
        json.dump({"dir": stack.dir, "elsewhere": stack.elsewhere,
                   "short": stack.short, "installed": stack.installed,
                   "processes": [[name, p.pid, start_time(p.pid)] for name, p
                                 in stack.processes.items()]}, f)


def running():
    if not os.path.exists(STATE):
        return None
    with open(STATE) as f:
        state = json.load(f)
    state["processes"] = [p for p in state["processes"]
                          if start_time(p[1]) == p[2]]
    return state


def write_env(stack):
    values = {
        "API_URL": "https://127.0.0.1:%d/v2" % stack.api_tls_port,
        "API_KEY": stack.key, "DOMAIN": stack.domain,
        "SMTP_PORT": stack.smtp_port,
        "SUBMISSION_PORT": stack.submission_port,
        "SMTPS_PORT": stack.smtps_port, "SMTP_LOGIN": stack.smtp_login,
        "SMTP_PASSWORD": stack.smtp_password, "MAILBOX": stack.mailbox,
        "MAILBOX_PASSWORD": stack.mailbox_password,
        "IMAP_PORT": stack.imap_port, "IMAPS_PORT": stack.imaps_port,
        "POP3_PORT": stack.pop3_port, "POP3S_PORT": stack.pop3s_port,
        "MX_DIR": stack.mx_dir, "HOOK_URL": stack.hook_url,
        "HOOK_LOG": stack.hook_log, "TRACKING_PORT": stack.api_port,
        "CONF": stack.dir + "/etc/mailgun.conf",
        "MAILGUNCTL": stack.dir + "/bin/mailgunctl",
    }
    os.makedirs(PLACE, exist_ok=True)
    with open(PLACE + "/env", "w") as f:
        for name, value in values.items():
            f.write("%s=%s\n" % (name, shlex.quote(str(value))))


def send_by_api(stack):
    title("An application sends by the API (the manual's first curl sample)")
    show(["curl", "-s", "-k", "--user", "api:" + stack.key,
          "https://127.0.0.1:%d/v2/%s/messages" % (
              stack.api_tls_port, stack.domain),
          "-F", "from=Excited User <me@%s>" % stack.domain,
          "-F", "to=Sasha Klizhentas <alex@mailgun.net>",
          "-F", "to=ev@mailgun.net",
          "-F", "subject=Hello",
          "-F", "text=Testing some Mailgun awesomness!"])
    line = stack.wait_mx("alex@mailgun.net")[-1]
    title("As the sandbox MX got it")
    show(["cat", "%s/new/%s" % (stack.mx_dir, line["file"])])
    title("What the log says")
    wait_for("two deliveries in the log", lambda: stack.api(
        "GET", "/%s/log" % stack.domain).text.count('"delivered"') >= 2)
    show(["curl", "-s", "-k", "--user", "api:" + stack.key, "-G",
          "https://127.0.0.1:%d/v2/%s/log" % (
              stack.api_tls_port, stack.domain), "-d", "limit=2"])


def receive(stack):
    title("Somebody outside writes to a mailbox")
    show(["swaks", "--server", "127.0.0.1:%d" % stack.smtp_port,
          "--helo", "mx.example.net",
          "--from", "bob@example.net", "--to", stack.mailbox,
          "--h-Subject", "Lunch?", "--body", "At noon, by the river."])
    url = "imaps://127.0.0.1:%d/INBOX" % stack.imaps_port
    login = "%s:%s" % (stack.mailbox, stack.mailbox_password)

    def arrived():
        return "EXISTS" in subprocess.run(
            ["curl", "-s", "-k", "-v", "--user", login, url, "-X",
             "FETCH 1 (FLAGS)"], stdout=subprocess.DEVNULL, text=True,
            stderr=subprocess.PIPE).stderr.replace("0 EXISTS", "")
    wait_for("the message in the mailbox", arrived, pause=0.3)
    title("Its owner reads it by IMAP")
    show(["curl", "-s", "-k", "--user", login, url + ";MAILINDEX=1"])


def webhook(stack):
    title("The application was told: a signed webhook")
    post = stack.wait_hook(
        lambda h: h["fields"].get("recipient") == "alex@mailgun.net")[0]
    print("\nPOST %s" % post["path"])
    for name, value in post["fields"].items():
        print("  %s = %s" % (name, value))
    fields = post["fields"]
    good = verify(stack.key, fields["token"], fields["timestamp"],
                  fields["signature"])
    print("\nverify(api_key, token, timestamp, signature) -> %s" % good)
    if not good:
        raise SystemExit("demo: the signature is wrong")


def what_next(stack):
    title("It is up. Try next")
    print("""
  . build/demo/env
  curl -k --user "api:$API_KEY" "$API_URL/$DOMAIN/messages" \\
       -F from="me@$DOMAIN" -F to=bounce-550@example.com -F text=hi
  curl -k --user "api:$API_KEY" "$API_URL/$DOMAIN/log"
  swaks --server 127.0.0.1:$SUBMISSION_PORT --tls --auth PLAIN \\
        --auth-user "$SMTP_LOGIN" --auth-password "$SMTP_PASSWORD" \\
        --from "me@$DOMAIN" --to someone@example.com
  $MAILGUNCTL -c "$CONF" domain set $DOMAIN track_opens=yes track_clicks=yes
  curl --connect-to "::127.0.0.1:$TRACKING_PORT" -i THE-LINK-IN-A-MESSAGE
  $MAILGUNCTL -c "$CONF" queue list
  $MAILGUNCTL -c "$CONF" fsck

  The sandbox MX takes any address; local parts such as bounce-550,
  defer-451, slow-10, drop-after-data get what they say.
  What it took: $MX_DIR    Webhooks: $HOOK_LOG    Logs: %s/log
""" % stack.dir)


def start(detach):
    state = running()
    if state and state["processes"]:
        raise SystemExit("demo: it is running already; make demo-stop")
    stack = Stack(PLACE, variant="release")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    left = False
    try:
        print("starting httpd, mailgun-smtpd, Dovecot, a sandbox MX and a "
              "receiver of webhooks in %s" % PLACE, flush=True)
        try:
            stack.start()
        finally:
            remember(stack)
        stack.ctl("domain", "set", stack.domain,
                  "webhook.deliver=" + stack.hook_url)
        write_env(stack)
        send_by_api(stack)
        receive(stack)
        webhook(stack)
        what_next(stack)
        if detach:
            print("left running; make demo-stop ends it")
            left = True
            return
        print("Ctrl-C ends it", flush=True)
        while all(p.alive() for p in stack.processes.values()):
            time.sleep(0.5)
        for name, p in stack.processes.items():
            if not p.alive():
                print("demo: %s ended:\n%s" % (name, p.tail()))
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        if not left:
            stack.stop()
            stack.clean()
            os.unlink(STATE)


def stop():
    import shutil
    state = running()
    if not state:
        print("demo: nothing is running")
        return
    order = ["httpd", "smtpd", "dovecot", "hooks", "mx"]
    for name, pid, _ in sorted(state["processes"],
                               key=lambda p: order.index(p[0])):
        os.kill(pid, signal.SIGTERM)
        wait_for("end of %s (pid %d)" % (name, pid),
                 lambda: start_time(pid) is None or zombie(pid), 40)
        print("stopped %s (pid %d)" % (name, pid))
    if state["installed"]:
        os.unlink(state["installed"])
    for path in (state["short"], state["elsewhere"]):
        if path:
            shutil.rmtree(path, ignore_errors=True)
    os.unlink(STATE)


def zombie(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


if __name__ == "__main__":
    if sys.argv[1:2] == ["start"]:
        start("--detach" in sys.argv)
    elif sys.argv[1:] == ["stop"]:
        stop()
    else:
        sys.exit(__doc__)
