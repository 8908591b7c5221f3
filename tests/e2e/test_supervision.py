"""mailgun-smtpd alone: its master, without the rest of the stack."""
import os
import re
import signal
import smtplib
import socket
import subprocess
import time

import pytest

from tests.stack.process import Process, children, free_ports, title, wait_for

BUILD = os.path.join(os.path.dirname(__file__), "..", "..",
                     os.environ.get("MG_BUILD", "build"),
                     os.environ.get("MG_VARIANT", "test"))
SMTPD = os.path.abspath(os.path.join(BUILD, "mailgun-smtpd"))
CTL = os.path.abspath(os.path.join(BUILD, "mailgunctl"))


class Smtpd:
    def __init__(self, folder):
        self.dir = str(folder)
        os.chmod(self.dir, 0o755)
        self.conf = self.dir + "/mailgun.conf"
        self.port = free_ports(1)[0]
        self.process = None
        self.write()
        for name in ("run", "spool", "mail"):
            os.mkdir(self.dir + "/" + name)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "nobody:nogroup", self.dir],
                           check=True)
            for parent in (os.path.dirname(self.dir),
                           os.path.dirname(os.path.dirname(self.dir))):
                os.chmod(parent, 0o755)

    def write(self, extra=""):
        with open(self.conf, "w") as f:
            f.write("""\
MailgunStore sqlite:%(d)s/mailgun.db
MailgunSecretFile %(d)s/secret
MailgunTrackingSecretFile %(d)s/tracking
MailgunRunDir %(d)s/run
MailgunSpoolDir %(d)s/spool
MailgunMailDir %(d)s/mail
MailgunUser nobody
MailgunGroup nogroup
MailgunHostname mail.test
MailgunListen 127.0.0.1:%(p)d mx
""" % {"d": self.dir, "p": self.port} + extra)

    def ctl(self, *args):
        subprocess.run([CTL, "-c", self.conf] + list(args), check=True,
                       stdout=subprocess.DEVNULL)

    def start(self, *args, env=None):
        self.process = Process("smtpd", [SMTPD, "-c", self.conf, "-f"] +
                               list(args), self.dir + "/log",
                               env=dict(os.environ, **(env or {})))
        self.process.wait_listening(self.port)
        return self

    def log(self):
        with open(self.dir + "/log") as f:
            return f.read()

    def workers(self):
        return {title(p).split(": ")[1].strip(): p
                for p in children(self.process.pid)
                if ": " in title(p) and "reaper" not in title(p)}


@pytest.fixture
def smtpd(tmp_path):
    it = Smtpd(tmp_path)
    yield it
    if it.process and it.process.alive():
        it.process.stop()


def gone(pids):
    def alive(pid):
        try:
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    return not any(alive(p) for p in pids)


def test_configuration_is_tested(smtpd):
    smtpd.ctl("init")
    done = subprocess.run([SMTPD, "-c", smtpd.conf, "-t"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, smtpd.conf + ": fine\n")
    smtpd.write("MailgunSenders some\n")
    done = subprocess.run([SMTPD, "-c", smtpd.conf, "-t"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert "mailgun.conf:11: MailgunSenders: 'some'" in done.stderr


def test_ready_is_told_to_the_service_manager(smtpd):
    smtpd.ctl("init")
    path = smtpd.dir + "/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        os.chmod(path, 0o777)
        s.settimeout(10)
        smtpd.start(env={"NOTIFY_SOCKET": path})
        assert s.recv(100) == b"READY=1"
    with open(smtpd.dir + "/run/smtpd.pid") as f:
        assert int(f.read()) == smtpd.process.pid
    assert smtpd.process.stop() == 0
    assert not os.path.exists(smtpd.dir + "/run/smtpd.pid")


def test_a_second_master_is_refused(smtpd):
    smtpd.ctl("init")
    smtpd.start()
    done = subprocess.run([SMTPD, "-c", smtpd.conf, "-f"], text=True,
                          stderr=subprocess.PIPE, timeout=20)
    assert done.returncode == 1
    assert "another mailgun-smtpd runs in" in done.stderr


def test_workers_go_with_the_master(smtpd):
    smtpd.ctl("init")
    smtpd.start()
    workers = wait_for("six workers", lambda: len(smtpd.workers()) == 6 and
                       smtpd.workers())
    os.kill(smtpd.process.pid, signal.SIGKILL)
    smtpd.process.popen.wait()
    wait_for("the workers' end", lambda: gone(workers.values()), 15)
    rows = subprocess.run(["sqlite3", smtpd.dir + "/mailgun.db",
                           "SELECT count(*) FROM node"], text=True,
                          stdout=subprocess.PIPE).stdout
    assert rows.strip() == "0"
    smtpd.start()     # the pid file's lock went with them


def receivers(smtpd):
    return [pid for name, pid in smtpd.workers().items() if "receiver" in name]


def test_the_next_master_waits_for_the_workers_of_a_dead_one(smtpd):
    """A worker that was stopped holds the socket until it goes on."""
    smtpd.ctl("init")
    first = smtpd.start().process
    receiver = wait_for("a receiver", lambda: receivers(smtpd))[0]
    os.kill(receiver, signal.SIGSTOP)
    os.kill(first.pid, signal.SIGKILL)
    first.popen.wait()
    smtpd.start()
    wait_for("a line about the port", lambda: re.search(
        "MailgunListen 127.0.0.1:%d: Address already in use: waiting"
        % smtpd.port, smtpd.log()))
    assert not smtpd.workers()
    os.kill(receiver, signal.SIGCONT)

    def greets():
        try:
            with smtplib.SMTP("127.0.0.1", smtpd.port, timeout=5) as s:
                return s.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False
    wait_for("a receiver of the new master",
             lambda: receivers(smtpd) and greets())
    assert smtpd.process.alive()


def test_workers_have_no_rights_and_nobody_elses_descriptors(smtpd):
    smtpd.ctl("init")
    smtpd.start()
    workers = wait_for("six workers", lambda: len(smtpd.workers()) == 6 and
                       smtpd.workers())
    time.sleep(0.5)
    for name, pid in workers.items():
        with open("/proc/%d/status" % pid) as f:
            status = f.read()
        assert "NoNewPrivs:\t1" in status
        if os.geteuid() == 0:
            assert re.search(r"Uid:\t(\d+)\t\1\t\1\t\1", status).group(1) != "0"
            assert "CapEff:\t0000000000000000" in status
        links = [os.readlink("/proc/%d/fd/%s" % (pid, fd))
                 for fd in os.listdir("/proc/%d/fd" % pid)]
        assert not [x for x in links if "secret" in x], (name, links)
        sockets = [x for x in links if x.startswith("socket:")]
        assert len(sockets) < (34 if "auth" in name else 5), (name, links)


def test_store_that_is_not_there_yet(smtpd):
    """Workers wait for it; mail is put off meanwhile."""
    smtpd.ctl("init")
    os.rename(smtpd.dir + "/mailgun.db", smtpd.dir + "/away.db")
    for end in ("-wal", "-shm"):
        if os.path.exists(smtpd.dir + "/mailgun.db" + end):
            os.rename(smtpd.dir + "/mailgun.db" + end,
                      smtpd.dir + "/away.db" + end)
    smtpd.start()
    with smtplib.SMTP("127.0.0.1", smtpd.port) as s:
        s.ehlo("x.test")
        code = s.mail("a@x.test")[0]
        assert code == 451 or s.rcpt("b@y.test")[0] == 451
    time.sleep(1)
    assert "was killed" not in smtpd.log() and "ended" not in smtpd.log()
    for end in ("-wal", "-shm", ""):
        if os.path.exists(smtpd.dir + "/away.db" + end):
            os.rename(smtpd.dir + "/away.db" + end,
                      smtpd.dir + "/mailgun.db" + end)

    def answer():
        with smtplib.SMTP("127.0.0.1", smtpd.port) as s:
            s.ehlo("x.test")
            if s.mail("a@x.test")[0] != 250:
                return 0
            return s.rcpt("b@y.test")[0]
    wait_for("the store", lambda: answer() == 550, 15)
    assert len(re.findall(r"receiver\[\d+\]: err: store", smtpd.log())) == 1


def test_log_is_reopened(smtpd):
    smtpd.ctl("init")
    log = smtpd.dir + "/smtpd.log"
    smtpd.start("-l", log)
    wait_for("six workers", lambda: len(smtpd.workers()) == 6)
    time.sleep(0.3)
    os.rename(log, log + ".1")
    os.kill(smtpd.process.pid, signal.SIGUSR1)
    wait_for("the new file", lambda: os.path.exists(log))
    os.kill(smtpd.workers()["sender 0"], signal.SIGKILL)
    wait_for("a line in it", lambda: "was killed" in open(log).read())
    with open(log + ".1") as f:
        assert "started" in f.read()


def test_bad_configuration_keeps_the_old(smtpd):
    smtpd.ctl("init")
    smtpd.start()
    before = wait_for("six workers", lambda: len(smtpd.workers()) == 6 and
                      smtpd.workers())
    smtpd.write("MailgunListen 127.0.0.1:1x mx\n")
    os.kill(smtpd.process.pid, signal.SIGHUP)
    wait_for("what is wrong", lambda: "the old configuration stays" in
             smtpd.log())
    assert smtpd.workers() == before
    smtpd.write("MailgunRunDir /tmp\n")
    os.kill(smtpd.process.pid, signal.SIGHUP)
    wait_for("what is wrong", lambda: "MailgunRunDir needs a restart" in
             smtpd.log())
    port = free_ports(1)[0]
    smtpd.write("MailgunListen 127.0.0.1:%d submission\nMailgunReceivers 2\n"
                % port)
    os.kill(smtpd.process.pid, signal.SIGHUP)

    def listens():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return len(smtpd.workers()) == 7
        except OSError:
            return False
    wait_for("the second port and receiver", listens)
    wait_for("all replaced", lambda: len(smtpd.workers()) == 7 and not
             set(smtpd.workers().values()) & set(before.values()))


def test_store_that_goes_away_and_comes_back(smtpd):
    """PostgreSQL is stopped and started: nothing ends, mail is put off."""
    from tests.stack.postgres import BIN, Postgres
    port = free_ports(1)[0]
    pg = Postgres(smtpd.dir + "/pg", port, smtpd.dir + "/pg.log")
    try:
        with open(smtpd.conf) as f:
            text = re.sub("MailgunStore .*", "MailgunStore " + pg.url,
                          f.read())
        with open(smtpd.conf, "w") as f:
            f.write(text)
        smtpd.ctl("init")
        smtpd.start()
        before = wait_for("six workers", lambda: len(smtpd.workers()) == 6
                          and smtpd.workers())
        smtpd.ctl("account", "add", "a")
        smtpd.ctl("domain", "add", "a.test", "--account", "a", "--password",
                  "secret1")

        def send():
            with smtplib.SMTP("127.0.0.1", smtpd.port) as s:
                s.ehlo("x.test")
                code = s.mail("b@x.test")[0]
                if code == 250:
                    code = s.rcpt("postmaster@a.test")[0]
                if code == 250:
                    code = s.data("Subject: x\r\n\r\ny\r\n")[0]
                return code
        assert send() == 250
        pg.process.stop(signal.SIGINT)
        assert 400 <= send() < 500
        time.sleep(3)
        assert 400 <= send() < 500
        argv = pg.as_user + [
            BIN + "/postgres", "-D", pg.dir + "/data", "-p", str(port), "-c",
            "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        pg.process = Process("postgres", argv, smtpd.dir + "/pg.log",
                             cwd="/")
        wait_for("PostgreSQL", pg.ready)
        wait_for("mail to be taken again", lambda: send() == 250, 15)
        wait_for("who needs it is connected again", lambda: len(re.findall(
            "store: connected again", smtpd.log())) >= 4, 15)
        assert smtpd.workers() == before
        assert len(re.findall(r"sender\[\d+\]: err: store", smtpd.log())) < 4
        smtpd.process.stop()
        assert pg.sql("SELECT count(*) FROM node").strip() == "0"
    finally:
        pg.stop()
