"""mailgunctl as an operator meets it: the built program, a store of its own.

Each test runs on SQLite, and again on a private PostgreSQL where that is
installed.
"""
import grp
import os
import pwd
import re
import shutil
import sqlite3
import stat
import subprocess
import tempfile

import pytest

from tests.stack.stack import ROOT, free_ports

BUILD = os.environ.get("MG_VARIANT", "test")
PROGRAM = os.path.join(ROOT, "build", BUILD, "mailgunctl")
PG = "/usr/lib/postgresql/15/bin/initdb"

pytestmark = pytest.mark.both


class Ctl:
    def __init__(self, directory, url=None):
        self.dir = directory
        self.user = "www-data" if os.getuid() == 0 else "nobody"
        self.conf = directory + "/mailgun.conf"
        self.url = url or "sqlite:%s/store/mailgun.db" % directory
        with open(self.conf, "w") as f:
            f.write("MailgunStore %s\n"
                    "MailgunSecretFile %s/secret\n"
                    "MailgunTrackingSecretFile %s/tracking\n"
                    "MailgunRunDir %s/run\n"
                    "MailgunSpoolDir %s/spool\n"
                    "MailgunMailDir %s/mail\n"
                    "MailgunUser %s\nMailgunGroup mail\n"
                    "MailgunHostname mx.mailgun.test\n" % (
                        (self.url,) + (directory,) * 5 + (self.user,)))

    def run(self, *args, stdin=""):
        return subprocess.run([PROGRAM, "-c", self.conf] + list(args),
                              input=stdin, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)

    def __call__(self, *args, stdin=""):
        done = self.run(*args, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        return done.stdout

    def refused(self, *args, code=1, stdin=""):
        """What it says on stderr."""
        done = self.run(*args, stdin=stdin)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.startswith("mailgunctl: ")
        return done.stderr


@pytest.fixture(scope="module")
def postgres():
    from tests.stack.postgres import Postgres
    directory = tempfile.mkdtemp(prefix="mg-ctl-pg-")
    os.chmod(directory, 0o755)
    server = Postgres(directory + "/pg", free_ports(1)[0],
                      directory + "/postgres.log")
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def empty(request, tmp_path):
    """A configuration, and nothing made yet."""
    if os.environ.get("MG_STORE", "sqlite") == "sqlite":
        return Ctl(str(tmp_path))
    if not os.path.exists(PG):
        pytest.skip("no PostgreSQL 15 here")
    server = request.getfixturevalue("postgres")
    name = re.sub(r"\W", "", request.node.name.lower())[-50:]
    server.sql("DROP DATABASE IF EXISTS " + name, "postgres")
    server.sql("CREATE DATABASE " + name, "postgres")
    return Ctl(str(tmp_path), server.url.replace("/mailgun", "/" + name)
               .replace("//" + name, "//mailgun"))


@pytest.fixture
def ctl(empty):
    empty("init")
    empty("account", "add", "acme")
    return empty


def test_init_makes_what_is_missing_and_may_be_repeated(empty):
    assert "run mailgunctl init" in empty.refused("account", "list")
    first = empty("init")
    assert re.search(r"store .* made, version \d+", first)
    assert "secret %s/secret made" % empty.dir in first
    with open(empty.dir + "/secret") as f:
        secret = f.read()
    again = empty("init")
    assert "is up to date" in again
    assert "made" not in again
    with open(empty.dir + "/secret") as f:
        assert f.read() == secret
    modes = {"secret": 0o640, "tracking": 0o640, "secret.pub": 0o644, "spool": 0o2770,
             "mail": 0o2770, "run": 0o2775}
    if empty.url.startswith("sqlite:"):
        modes.update({"store": 0o2770, "store/mailgun.db": 0o660})
    for name, mode in modes.items():
        there = os.stat(os.path.join(empty.dir, name))
        assert stat.S_IMODE(there.st_mode) == mode, name
        if os.getuid() == 0 and name != "secret.pub":
            owner = pwd.getpwuid(there.st_uid).pw_name
            # httpd, of the group, shall not write what it believes
            assert owner == ("root" if name == "tracking" else empty.user), \
                name
            if name == "tracking":
                assert grp.getgrgid(there.st_gid).gr_name == "mail"


def test_tracking_secrets_rotate(ctl):
    path = ctl.dir + "/tracking"
    with open(path) as f:
        first = f.read().splitlines()
    assert first[0] == "mailgun-tracking 1" and len(first) == 2
    before = os.stat(path)
    assert "secret 2" in ctl("tracking", "rotate")
    with open(path) as f:
        second = f.read().splitlines()
    assert second[:2] == first and second[2].startswith("key 2 ")
    after = os.stat(path)
    assert (after.st_uid, after.st_gid, after.st_mode) == (
        before.st_uid, before.st_gid, before.st_mode)
    ctl("tracking", "rotate", "--forget", "1")
    with open(path) as f:
        third = f.read().splitlines()
    assert third[:2] == [first[0], second[2]] and len(third) == 3
    assert "'x' is no number" in ctl.refused("tracking", "rotate",
                                             "--forget", "x")
    with open(path, "w") as f:
        f.write("nonsense")
    assert "tracking secrets" in ctl.refused("tracking", "rotate")
    assert "damaged" in ctl.refused("init")


def test_a_newer_store_is_refused_in_words(ctl):
    if not ctl.url.startswith("sqlite:"):
        pytest.skip("one driver is enough")
    db = sqlite3.connect(ctl.dir + "/store/mailgun.db")
    db.execute("UPDATE schema_version SET version = 99, min_program = 99")
    db.commit()
    db.close()
    assert "install the newer program" in ctl.refused("account", "list")
    assert "install the newer program" in ctl.refused("init")


def test_init_needs_the_parent_of_the_store(empty):
    if not empty.url.startswith("sqlite:"):
        pytest.skip("SQLite's alone")
    with open(empty.conf, "a") as f:
        f.write("MailgunStore sqlite:%s/no/where/mailgun.db\n" % empty.dir)
    assert "No such file or directory" in empty.refused("init")


def test_accounts_and_keys(ctl):
    assert "already" in ctl.refused("account", "add", "acme")
    ctl("account", "set", "acme", "state=disabled")
    assert re.search(r"^acme +disabled ", ctl("account", "list"), re.M)
    assert "'x' is none of active, disabled" in ctl.refused(
        "account", "set", "acme", "state=x")
    assert "'colour'" in ctl.refused("account", "set", "acme", "colour=red")
    assert "there is no account 'nobody'" in ctl.refused("key", "add",
                                                         "nobody")
    one = ctl("key", "add", "acme").split()[-1]
    two = ctl("key", "add", "acme").split()[-1]
    assert re.fullmatch(r"key-[0-9a-z]{32}", one) and one != two
    listed = ctl("key", "list", "acme")
    assert one not in listed and "..." + one[-4:] in listed
    ctl("key", "revoke", "acme", one)
    ctl("key", "revoke", "acme", two[-4:])
    assert "no live key" in ctl.refused("key", "revoke", "acme", one)
    assert "no live key" in ctl.refused("key", "revoke", "acme", "zzzz")
    rows = ctl("key", "list", "acme").splitlines()[1:]
    assert len(rows) == 2 and not any(r.endswith(" -") for r in rows)


def test_domains(ctl):
    out = ctl("domain", "add", "Samples.mailgun.test", "--account", "acme")
    assert "postmaster@" in out
    assert re.search(r"^SMTP password [0-9a-z]{20}$", out, re.M)
    out = ctl("domain", "add", "b.test", "--account=acme", "--password", "-",
              stdin="from-stdin\n")
    assert "password" not in out
    for args, words in (
            (("b.test", "--account", "acme"), "already"),
            (("B.TEST", "--account", "acme"), "already"),
            (("no_domain", "--account", "acme"), "no domain name"),
            (("c.test", "--account", "x"), "no account 'x'"),
            (("c.test", "--account", "acme", "--password", "four"),
             "5 to 32 characters")):
        assert words in ctl.refused("domain", "add", *args)
    listed = ctl("domain", "list", "--account", "acme")
    assert len(listed.splitlines()) == 3
    shown = ctl("domain", "show", "samples.mailgun.test")
    assert re.search(r"^account +acme$", shown, re.M)
    assert re.search(r"TXT +mg\._domainkey\.samples\.mailgun\.test +unknown "
                     r"+signs +k=rsa; p=MII", shown, re.I)
    assert re.search(r"TXT +mge\._domainkey\.samples\.mailgun\.test +unknown "
                     r"+signs +v=DKIM1; k=ed25519; p=\S{44}$", shown,
                     re.I | re.M)
    zone = ctl("domain", "show", "samples.mailgun.test", "--zone")
    rsa = re.search(r'^mg\._domainkey\.samples\.mailgun\.test\. IN TXT '
                    r'\( "(k=rsa; p=[^"]+)" "([^"]+)" \)$', zone, re.M | re.I)
    assert len(rsa.group(1)) == 255
    assert rsa.group(1) + rsa.group(2) in shown
    assert re.search(r"^samples\.mailgun\.test\. IN MX 10 mx\.mailgun\.test\.$",
                     zone, re.M | re.I)
    assert "10 mx.mailgun.test." in shown
    assert "v=spf1 a:mx.mailgun.test" in shown
    assert re.search(r"postmaster@samples\.mailgun\.test",
                     ctl("mailbox", "list", "samples.mailgun.test"), re.I)
    ctl("domain", "remove", "samples.mailgun.test")
    assert "there is no domain" in ctl.refused("domain", "show",
                                               "samples.mailgun.test")
    ctl("domain", "add", "samples.mailgun.test", "--account", "acme")


def test_domain_settings_are_all_or_nothing(ctl):
    ctl("domain", "add", "a.test", "--account", "acme")
    out = ctl("domain", "set", "a.test", "quota_bytes=25M",
              "webhook.deliver=https://example.com/a?b=c")
    assert "quota_bytes=26214400" in out
    assert "webhook.deliver=https://example.com/a?b=c" in out
    assert "'colour'" in ctl.refused("domain", "set", "a.test",
                                     "quota_bytes=1M", "colour=red")
    assert "26214400" in ctl("domain", "show", "a.test")
    assert "name=value" in ctl.refused("domain", "set", "a.test", "colour",
                                       code=2)


def test_mailboxes(ctl):
    ctl("domain", "add", "a.test", "--account", "acme")
    ctl("mailbox", "add", "bob@a.test", "secret", "--quota", "100M")
    ctl("mailbox", "add", "carl@a.test", "-", stdin="secret\r\n")
    made = ctl("mailbox", "add", "dora@a.test")
    assert re.search(r"^password \S{20}$", made, re.M)
    for args, words in (
            (("bob@a.test", "secret"), "already"),
            (("BOB@A.TEST", "secret"), "already"),
            (("bob@b.test", "secret"), "no domain 'b.test'"),
            (("bob", "secret"), "no address"),
            (("bo b@a.test", "secret"), "no address"),
            (("eve@a.test", "x" * 33), "5 to 32 characters"),
            (("eve@a.test", "secret", "--quota", "much"), "no size")):
        assert words in ctl.refused("mailbox", "add", *args)
    assert "standard input" in ctl.refused("mailbox", "add", "eve@a.test",
                                           "-")
    assert re.search(r"^bob@a.test +- +100M ", ctl("mailbox", "list",
                                                   "a.test"), re.M)
    ctl("mailbox", "set", "bob@a.test", "quota=0", "password=another")
    ctl("mailbox", "set", "carl@a.test", "quota=1536k")
    ctl("mailbox", "set", "dora@a.test", "quota=1M")
    ctl("mailbox", "set", "dora@a.test", "quota=default")
    listed = ctl("mailbox", "list", "a.test")
    for name, quota in (("bob", "unlimited"), ("carl", "1.5M"),
                        ("dora", "default")):
        assert re.search(r"^%s@a.test +- +%s " % (name, quota), listed, re.M)
    ctl("mailbox", "remove", "bob@a.test")
    assert "no mailbox" in ctl.refused("mailbox", "remove", "bob@a.test")
    ctl("mailbox", "add", "bob@a.test", "secret")


def test_credentials(ctl):
    ctl("domain", "add", "a.test", "--account", "acme")
    made = ctl("credential", "add", "App@a.test")
    assert re.search(r"^password \S{20}$", made, re.M)
    ctl("credential", "add", "other@a.test", "-", stdin="secret\r\n")
    for args, words in (
            (("app@a.test", "secret"), "already"),
            (("postmaster@a.test", "secret"), "already"),
            (("app@b.test", "secret"), "no domain 'b.test'"),
            (("app", "secret"), "no address"),
            (("a b@a.test", "secret"), "no address"),
            (("eve@a.test", "abc"), "5 to 32 characters")):
        assert words in ctl.refused("credential", "add", *args)
    assert re.search(r"^app@a.test +\d{4}-", ctl("credential", "list",
                                                 "a.test"), re.M)
    assert "changed" in ctl("credential", "password", "app@a.test", "another")
    assert re.search(r"^password \S{20}$",
                     ctl("credential", "password", "app@a.test"), re.M)
    ctl("credential", "remove", "APP@a.test")
    assert "no credential" in ctl.refused("credential", "remove", "app@a.test")
    assert "no credential" in ctl.refused("credential", "password",
                                          "app@a.test", "secret")
    assert "app@" not in ctl("credential", "list", "a.test")


def test_routes(ctl):
    ctl("route", "add", "acme", "--priority", "2", "--expression",
        'match_recipient(".*@a.test")', "--action",
        'forward("http://127.0.0.1/")', "--action", "stop()",
        "--description", "all of a.test")
    ctl("route", "add", "acme", "--expression", "catch_all()", "--action",
        "stop()")
    rows = ctl("route", "list", "acme").splitlines()[1:]
    assert len(rows) == 2
    assert 'forward("http://127.0.0.1/"); stop()' in rows[1]
    assert rows[1].endswith("all of a.test")
    for args in (("--expression", "nope(", "--action", "stop()"),
                 ("--expression", "catch_all()", "--action", "fly()"),
                 ("--expression", 'match_recipient("(")', "--action",
                  "stop()")):
        ctl.refused("route", "add", "acme", *args)
    ctl.refused("route", "add", "acme", "--action", "stop()", code=2)
    ctl.refused("route", "add", "acme", "--expression", "catch_all()", code=2)
    public_id = rows[0].split()[0]
    ctl("route", "set", "acme", public_id, "--priority", "7", "--action",
        "store()")
    changed, = [r for r in ctl("route", "list", "acme").splitlines()
                if r.startswith(public_id)]
    assert changed.split()[1:4] == ["7", "catch_all()", "store()"]
    for args in (("acme", public_id, "--action", "fly()"),
                 ("acme", public_id, "--expression", "nope("),
                 ("acme", "0" * 24)):
        ctl.refused("route", "set", *args)
    ctl("route", "remove", "acme", public_id)
    assert "no route" in ctl.refused("route", "remove", "acme", public_id)


def test_lists(ctl, tmp_path):
    ctl("domain", "add", "a.test", "--account", "acme")
    out = ctl("list", "add", "Dev@a.test", "--name", "Developers")
    assert out == "mailing list Dev@a.test added\n"
    for args, words in (
            (("add", "dev@a.test"), "already"), (("add", "dev"), "no address"),
            (("add", "x@no.test"), "no domain"),
            (("add", "x@a.test", "--access", "x"), "none of readonly"),
            (("set", "no@a.test"), "no mailing list")):
        assert words in ctl.refused("list", *args)
    csv = tmp_path / "m.csv"
    csv.write_text("address,name,age\nbob@x.test,Bob,26\nnobody,,\n")
    assert ctl("list", "import", "dev@a.test", str(csv)) == \
        "line 3: the address is malformed\n" \
        "1 members put into Dev@a.test, 1 lines passed over\n"
    row = ctl("list", "members", "dev@a.test").splitlines()[1].split()
    assert row[0] == "bob@x.test" and row[-1] == '{"age":"26"}'
    ctl("list", "set", "dev@a.test", "--access", "everyone")
    row = ctl("list", "list", "acme").splitlines()[1].split()
    assert row[:4] == ["Dev@a.test", "1", "everyone", "list"]
    assert row[-1] == "Developers"
    ctl("account", "set", "acme", "members=1")
    csv.write_text("cleo@x.test\n")
    assert "no more members" in ctl.refused("list", "import", "dev@a.test",
                                            str(csv))
    ctl("list", "remove", "dev@a.test")
    assert "no mailing list" in ctl.refused("list", "remove", "dev@a.test")


def test_campaigns(ctl):
    ctl("domain", "add", "a.test", "--account", "acme")
    out = ctl("campaign", "add", "a.test", "Newsletter", "--id", "my_id")
    assert out == "campaign my_id added\n"
    made = ctl("campaign", "add", "a.test", "Another").split()[1]
    assert re.fullmatch("[0-9a-f]{24}", made)
    rows = ctl("campaign", "list", "a.test").splitlines()
    assert len(rows) == 3 and rows[2].startswith("my_id  ")
    shown = ctl("campaign", "show", "a.test", "my_id").splitlines()
    assert shown[1] == "name: Newsletter" and "opened: 0" in shown
    assert "no campaign" in ctl.refused("campaign", "show", "a.test", "x")
    ctl("account", "set", "acme", "campaigns=2")
    assert "as many" in ctl.refused("campaign", "add", "a.test", "Third")
    ctl("account", "set", "acme", "campaigns=none")
    ctl.refused("account", "set", "acme", "campaigns=-1")
    for args, words in (
            (("a.test", "x", "--id", "my_id"), "already"),
            (("a.test", "x", "--id", "b c"), "pure ASCII"),
            (("a.test", ""), "empty"), (("no.test", "x"), "no domain")):
        assert words in ctl.refused("campaign", "add", *args)
    ctl("campaign", "remove", "a.test", "my_id")
    assert "no campaign" in ctl.refused("campaign", "remove", "a.test",
                                        "my_id")


def test_queue_and_fsck(ctl):
    assert "empty" in ctl("queue", "list")
    assert "no domain" in ctl.refused("queue", "list", "--domain", "x.test")
    ctl.refused("queue", "list", "--transport", "pigeon", code=2)
    ctl.refused("queue", "list", "--limit", "none", code=2)
    assert "no message" in ctl.refused("queue", "show", "<x@a.test>")
    assert "no message" in ctl.refused("queue", "show", "17")
    out = ctl("fsck")
    assert re.search(r"accepted\D+0$", out, re.M)
    assert out.endswith("nothing wrong\n")


def test_queue_shows_what_fsck_finds(ctl):
    """Rows as the programs would write them, and one that lacks its
    content."""
    if not ctl.url.startswith("sqlite:"):
        pytest.skip("written by hand, SQLite's only")
    ctl("domain", "add", "a.test", "--account", "acme")
    db = sqlite3.connect(ctl.dir + "/store/mailgun.db")
    domain, account = db.execute(
        "SELECT id, account_id FROM domain").fetchone()
    db.execute("INSERT INTO message (id, account_id, domain_id, direction,"
               " method, message_id, sender, from_header, subject, options,"
               " variables, size, recipients, deliveries, created_at)"
               " VALUES (17, ?, ?, 0,"
               " 'http', 'x@a.test', 'me@a.test', 'Me <me@a.test>', 'hi',"
               " '{}', '{}', 100, 1, 1, 1700000000000000)", (account, domain))
    db.execute("INSERT INTO delivery (id, message_id, account_id, domain_id,"
               " transport, recipient, recipient_as_given, variables, dest,"
               " target, payload, due_at, attempts, last_reply, created_at,"
               " expires_at) VALUES (18, 17, ?, ?, 1, 'bob@b.test',"
               " 'bob@b.test', '{}', 'b.test', '', '', 1, 2,"
               " ?, 1, 9000000000000000)",
               (account, domain, "451 4.7.1 later\x1b[2J"))
    db.execute("INSERT INTO event (id, account_id, domain_id, message_id,"
               " delivery_id, kind, recipient, log_text, detail, created_at)"
               " VALUES (19, ?, ?, 17, 18, 'failed_temp', 'bob@b.test', '',"
               " '{\"code\":451,\"reply\":\"4.7.1 later\",\"mx\":\"mx.b\"}',"
               " 1)", (account, domain))
    db.commit()
    db.close()
    rows = ctl("queue", "list", "--domain", "A.test", "--transport",
               "smtp").splitlines()
    assert len(rows) == 2 and rows[1].split()[0] == "18"
    assert "due now" in rows[1] and rows[1].endswith("451 4.7.1 later [2J")
    assert "empty" in ctl("queue", "list", "--transport", "lmtp")
    for name in ("17", "18", "x@a.test", "<x@a.test>"):
        shown = ctl("queue", "show", name)
        assert "bob@b.test" in shown
        assert re.search(r"failed_temp +bob@b.test +mx.b +451 4.7.1 later",
                         shown)
    done = ctl.run("fsck")
    assert done.returncode == 1 and "WRONG: " in done.stdout


def test_suppression(ctl):
    ctl("domain", "add", "a.test", "--account", "acme")
    assert "Nobody" in ctl("suppression", "list", "a.test")
    ctl("suppression", "add", "a.test", "bounce", "Bob <Bob@b.test>",
        "--code", "554", "--error", "by hand")
    ctl("suppression", "add", "a.test", "complaint", "bob@b.test")
    ctl("suppression", "add", "a.test", "unsubscribe", "ann@b.test", "--tag",
        "news")
    rows = ctl("suppression", "list", "A.test").splitlines()
    assert len(rows) == 4
    assert re.search(r"^bounce +Bob@b\.test .* 554 by hand$", "\n".join(rows),
                     re.M)
    rows = ctl("suppression", "list", "a.test", "unsubscribe").splitlines()
    assert len(rows) == 2 and rows[1].endswith("tag news")
    for args, words in (
            (("a.test", "bounce", "nobody"), "no address"),
            (("b.test", "bounce", "bob@b.test"), "no domain")):
        assert words in ctl.refused("suppression", "add", *args)
    ctl.refused("suppression", "list", "a.test", "pigeon", code=2)
    ctl("suppression", "remove", "a.test", "bounce", "BOB@b.test")
    assert "there is no bounce" in ctl.refused(
        "suppression", "remove", "a.test", "bounce", "bob@b.test")
    assert "there is no unsubscribe" in ctl.refused(
        "suppression", "remove", "a.test", "unsubscribe", "ann@b.test",
        "--tag", "other")


def test_queue_changes_need_a_which(ctl):
    for verb in ("hold", "release", "retry", "drop"):
        ctl.refused("queue", verb, code=2)
        ctl.refused("queue", verb, "--all=1", code=2)
        assert "0 deliveries" in ctl("queue", verb, "--all")
        assert "0 deliveries would" in ctl("queue", verb, "--all",
                                           "--dry-run")
    assert "no message" in ctl.refused("queue", "drop", "--message", "<x@y>")
    assert "empty" in ctl("queue", "count", "--by", "age")
    ctl.refused("queue", "count", "--by", "colour", code=2)


def test_usage(ctl):
    for args in ((), ("frob",), ("domain", "frob"), ("domain",),
                 ("account", "add"), ("account", "add", "a", "b"),
                 ("account", "add", "a", "--colour", "red"),
                 ("domain", "add", "x.test", "--account")):
        done = ctl.run(*args)
        assert done.returncode == 2, args
        assert done.stdout == "" and done.stderr
    assert "usage: mailgunctl domain add" in ctl.refused(
        "domain", "add", "x.test", code=2)
    assert "domain add DOMAIN" in ctl("help")
    assert "account add" not in ctl("help", "domain")
    assert re.match(r"mailgunctl \d", ctl("version"))


def test_configuration_errors_name_the_line(empty):
    assert "nothing wrong" in empty("config", "check")
    with open(empty.conf, "a") as f:
        f.write("MailgunSenders x\n")
    with open(empty.conf) as f:
        line = len(f.readlines())
    words = "%s:%d: MailgunSenders: 'x' is no number; try 2" % (empty.conf,
                                                               line)
    assert words in empty.refused("config", "check")
    assert words in empty.refused("account", "list")
    os.unlink(empty.conf)
    assert "No such file" in empty.refused("account", "list")
    assert "MailgunSenders number\n    default: 1\n" in empty("config")
