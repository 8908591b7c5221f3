"""Mailboxes as others' clients see them (isync, curl), a full one beside a route,
and Sieve beside our plugin."""
import os
import subprocess
import time

import pytest

from test_mailboxes import Box

SIEVE = """
protocol lmtp {
  mail_plugins = $mail_plugins sieve
}
plugin {
  sieve = file:~/sieve;active=~/.dovecot.sieve
}
"""
SCRIPT = 'require ["fileinto", "mailbox"];\n' \
    'if header :contains "subject" "work" {' \
    ' fileinto :create "Work"; stop; }\n' \
    'if header :contains "subject" "both" {' \
    ' fileinto :create "Work"; keep; stop; }\n' \
    'if header :contains "subject" "gone" { discard; }\n'


@pytest.fixture
def box(env):
    return Box(env)


def curl(env, box, url, *more):
    return subprocess.run(
        ["curl", "-sk", "--user", "%s:%s" % (box.address, box.password), url]
        + list(more), check=True, stdout=subprocess.PIPE).stdout


def test_curl(env, box, tmp_path):
    imap = "imaps://127.0.0.1:%d" % env.imaps_port
    text = b"Subject: by curl\r\n\r\nhello\r\n"
    path = tmp_path / "mail"
    path.write_bytes(text)
    curl(env, box, imap + "/INBOX", "-T", str(path))
    assert curl(env, box, imap + "/INBOX;MAILINDEX=1") == text
    assert b"INBOX" in curl(env, box, imap + "/")
    assert curl(env, box, "pop3s://127.0.0.1:%d/1" % env.pop3s_port) == text
    assert box.size() == len(text)
    curl(env, box, "pop3s://127.0.0.1:%d/1" % env.pop3s_port, "-X", "DELE",
         "-I")
    assert box.size() == 0
    # and in, by its own login under TLS
    curl(env, box, "smtps://127.0.0.1:%d" % env.smtps_port, "--mail-from",
         box.address, "--mail-rcpt", box.address, "-T", str(path))
    env.wait("its own mail", lambda: box.count() == 1)
    assert box.size() == box.real_size()


def test_isync(env, box, tmp_path):
    """Both ways, with a folder made and one removed on this side."""
    local = tmp_path / "mail"
    local.mkdir()
    (tmp_path / "rc").write_text("""\
IMAPAccount box
Host 127.0.0.1
Port %d
User %s
Pass %s
SSLType IMAPS
CertificateFile %s/etc/cert.pem

IMAPStore far
Account box

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
""" % (env.imaps_port, box.address, box.password, env.dir, local, local))

    def sync():
        out = subprocess.run(["mbsync", "-c", str(tmp_path / "rc"), "-a"],
                             env=dict(os.environ, HOME=str(tmp_path)),
                             stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.STDOUT)
        assert out.returncode == 0, out.stdout

    def here(folder):
        return [f for d in ("cur", "new") for f in (local / folder / d)
                .iterdir()]
    for n in range(5):
        box.append(1000 + n)
    sync()
    assert len(here("INBOX")) == 5
    here("INBOX")[0].unlink()
    work = local / "Work" / "new"
    work.mkdir(parents=True)
    (local / "Work" / "cur").mkdir()
    (local / "Work" / "tmp").mkdir()
    (work / ("%d.1.here" % time.time())).write_text("Subject: mine\n\nhi\n")
    sync()
    sync()
    assert box.count() == 4
    c = box.imap()
    assert c.select("Work")[1] == [b"1"]
    c.logout()
    assert box.size() == box.real_size() > 4000


@pytest.mark.both
def test_full_mailbox_with_a_route(env):
    """The route fires all the same, and the mailbox's part is a bounce."""
    box = Box(env, quota=1000)
    path = "/full-%d" % time.monotonic_ns()
    r = env.api("POST", "/routes", data={
        "expression": "match_recipient('%s')" % box.address,
        "action": "forward('http://127.0.0.1:%d%s')" % (env.hook_port, path)})
    assert r.status_code == 200, r.text
    try:
        box.deliver("z" * 3000)
        env.wait_hook(lambda h: True, path)
        item = env.wait("a bounced row", lambda: [
            i for i in env.api("GET", "/%s/log" % box.domain).json()["items"]
            if i["hap"] == "bounced"])[0]
        assert "552" in item["message"] and "5.2.2" in item["message"]
        assert box.count() == 0
    finally:
        env.api("DELETE", "/routes/" + r.json()["route"]["id"])


@pytest.mark.skipif(not os.path.exists(
    "/usr/lib/dovecot/modules/lib90_sieve_plugin.so"), reason="no Pigeonhole")
@pytest.mark.stack(dovecot_extra=SIEVE)
def test_sieve(own_env):
    """A script files, copies, discards; its bytes are counted; a repeat of a
    delivery runs it once."""
    box = Box(own_env)
    box.append(100)
    home = own_env.doveadm("user", "-f", "home", box.address).strip()
    with open(home + "/.dovecot.sieve", "w") as f:
        f.write(SCRIPT)
    st = os.stat(home)
    os.chown(home + "/.dovecot.sieve", st.st_uid, st.st_gid)

    def count(folder):
        c = box.imap()
        ok, n = c.select(folder)
        c.logout()
        return int(n[0]) if ok == "OK" else None
    box.deliver(subject="work")
    own_env.wait("in Work", lambda: count("Work") == 1)
    box.deliver(subject="both")
    own_env.wait("a copy", lambda: count("Work") == 2)
    assert count("INBOX") == 2
    box.deliver(subject="gone")
    box.deliver(subject="kept")
    own_env.wait("kept", lambda: count("INBOX") == 3)
    assert box.size() == box.real_size()
    number = time.monotonic_ns()
    for n in range(2):
        box.lmtp("work again", delivery=number)
    assert count("INBOX") == 4
    box.lmtp("X-Y: z", delivery=None)
    assert count("INBOX") == 5
    assert box.size() == box.real_size()
