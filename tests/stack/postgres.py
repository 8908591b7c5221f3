"""A private PostgreSQL on a Unix socket and a free loopback port."""
import os
import pwd
import shutil
import signal
import subprocess

from .process import Process, wait_for

BIN = "/usr/lib/postgresql/15/bin"
NOT_DURABLE = ["-c", "fsync=off", "-c", "full_page_writes=off",
               "-c", "autovacuum=off", "-c", "max_wal_size=128MB"]


class Postgres:
    """durable=False: without fsync, for tests that never cut the power."""
    def __init__(self, directory, port, log, durable=True):
        self.dir, self.port, self.log = directory, port, log
        self.durable = durable
        self.as_user = []
        os.makedirs(directory, exist_ok=True)
        if os.getuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(directory, entry.pw_uid, entry.pw_gid)
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres",
                            "--clear-groups"]
        self.data = os.path.join(directory, "data")
        if not os.path.exists(self.data):
            subprocess.run(self.as_user + [
                BIN + "/initdb", "-D", self.data, "-U", "mailgun", "-A", "trust",
                "-E", "UTF8", "--locale=C", "--no-instructions", "--no-sync"],
                check=True, stdout=subprocess.DEVNULL, cwd="/")
        with open(log, "ab"):
            pass
        os.chmod(log, 0o666)
        self.start()
        self.sql("CREATE DATABASE mailgun", "postgres")
        self.url = "postgresql://mailgun@127.0.0.1:%d/mailgun" % port

    def start(self):
        run_as = self.as_user if self.durable else (
            # it goes with us, by kill -9 too
            ["setpriv", "--pdeathsig", "QUIT"] + self.as_user[1:])
        self.process = Process("postgres", run_as + [
            BIN + "/postgres", "-D", self.data, "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=",
            "-c", "max_connections=200"] +
            ([] if self.durable else NOT_DURABLE), self.log, cwd="/")
        wait_for("PostgreSQL", self.ready)

    def halt(self, immediately=False):
        """It ends its connections and itself; start() may follow."""
        self.process.stop(signal.SIGQUIT if immediately else signal.SIGINT)

    def ready(self):
        return subprocess.run([BIN + "/pg_isready", "-q", "-h", "127.0.0.1",
                               "-p", str(self.port)]).returncode == 0

    def sql(self, text, database="mailgun"):
        return subprocess.run(
            [BIN + "/psql", "-qAtX", "-h", "127.0.0.1", "-p", str(self.port),
             "-U", "mailgun", "-c", text, database], check=True,
            stdout=subprocess.PIPE, text=True).stdout

    def stop(self):
        self.halt()
        shutil.rmtree(self.dir, ignore_errors=True)
