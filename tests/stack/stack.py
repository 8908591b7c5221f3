"""The whole platform on loopback: httpd with mod_mailgun, mailgun-smtpd,
Dovecot with our plugin, a sandbox MX and a receiver of webhooks, on free high
ports in a directory of its own. As root and as a normal user.

    stack = Stack(directory, variant="test")
    stack.start()
    stack.api("POST", "/%s/messages" % stack.domain, data={...})
    stack.stop()

As root the parts run as base-passwd's users: httpd as www-data, mailgun-smtpd
and the mailboxes as mail, with mail as the common group.
"""
import functools
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

from . import configs, mmdb
from .faults import Faults
from .process import (Process, free_ports, reachable_by, undisturbed,
                      wait_for)

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
MODULES = "/usr/lib/apache2/modules"
AUTH_MODULES = "/usr/lib/dovecot/modules/auth"
PORTS = ("smtp smtps submission mx hook api api_tls site imap imaps pop3 "
         "pop3s pg").split()


class Stack:
    def __init__(self, directory, variant="test", store="sqlite", extra="",
                 httpd_extra="", log_level="info", dovecot_extra=""):
        self.as_root = os.getuid() == 0
        self.wanted_dir = os.path.abspath(directory)
        self.variant, self.store = variant, store
        self.extra, self.httpd_extra = extra, httpd_extra
        self.dovecot_extra = dovecot_extra
        # as root: Dovecot 2.4 in a Debian 13 below that directory, with our
        # sources and the plugin made of them in its /src (docs/TESTING.md)
        self.dovecot_root = os.environ.get("MG_DOVECOT_ROOT")
        self.log_level = log_level
        self.bin = os.path.join(ROOT, "build", variant)
        self.processes = {}
        self.elsewhere = self.short = self.installed = None
        self.pg = None
        me = pwd.getpwuid(os.getuid()).pw_name
        self.user = "mail" if self.as_root else me
        self.account, self.domain = "demo", "samples.mailgun.test"
        self.smtp_login = "postmaster@" + self.domain
        self.smtp_password = "smtp-secret-1"
        self.mailbox = "anna@" + self.domain
        self.mailbox_password = "mailbox-secret-1"

    # --- places ---

    def prepare(self):
        """Directories that the parts' users can reach, and short socket
        paths (sun_path holds 107 bytes)."""
        self.dir = self.wanted_dir
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.elsewhere = None
        if self.as_root and not reachable_by(self.dir, self.user):
            self.elsewhere = tempfile.mkdtemp(prefix="mailgun-")
            os.chmod(self.elsewhere, 0o755)
            self.dir = self.elsewhere
        self.run = self.dir + "/run"
        self.short = self.installed = None
        if len(self.run) > 60:
            self.short = tempfile.mkdtemp(prefix="mg-")
            self.run = self.short
        for name in ("etc", "log", "bin", "site", "spool", "mail", "store",
                     "mx", "faults", "dovecot-modules"):
            os.makedirs(os.path.join(self.dir, name), exist_ok=True)
        os.makedirs(self.run, exist_ok=True)
        os.chmod(self.dir + "/faults", 0o777)
        for name in ("mailgun-smtpd", "mailgunctl", "mod_mailgun.so",
                     "libauthdb_mailgun.so", "lib20_mailgun_plugin.so"):
            shutil.copy(os.path.join(self.bin, name), self.dir + "/bin")
        with open(self.dir + "/site/index.html", "w") as f:
            f.write("another site\n")
        for port, name in zip(free_ports(len(PORTS)), PORTS):
            setattr(self, name + "_port", port)
        self.certificate()
        if self.as_root:
            entry = pwd.getpwnam(self.user)
            for path in (self.run, self.dir + "/spool", self.dir + "/mail",
                         self.dir + "/store"):
                os.chown(path, entry.pw_uid, entry.pw_gid)
                os.chmod(path, 0o2770)
            # logs are opened as root; workers only write to the descriptor
            os.chmod(self.run, 0o2775)

    def certificate(self):
        subprocess.run([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
            "-keyout", self.dir + "/etc/key.pem", "-out",
            self.dir + "/etc/cert.pem", "-days", "30", "-subj",
            "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=DNS:localhost,DNS:mail.mailgun.test,"
            "DNS:email.mailgun.test,"
            "IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
        os.chmod(self.dir + "/etc/key.pem", 0o600)

    def values(self):
        names = {name + "_port": getattr(self, name + "_port")
                 for name in PORTS}
        group = "mail" if self.as_root else str(os.getgid())
        try:
            import grp
            group = group if self.as_root else grp.getgrgid(
                os.getgid()).gr_name
        except KeyError:
            pass
        store_url = "sqlite:%s/store/mailgun.db" % self.dir
        if self.pg:
            store_url = self.pg.url
        return dict(names, dir=self.dir, run=self.run, user=self.user,
                    group=group, store_url=store_url, modules=MODULES,
                    log_level=self.log_level)

    def write(self, name, text):
        with open(os.path.join(self.dir, "etc", name), "w") as f:
            f.write(text)

    def configure(self):
        v = self.values()
        # without a resolver of its own a stack asks one that is not there:
        # nothing leaves this machine
        resolver = "MailgunResolver 127.0.0.1:9\n"
        if "MailgunResolver" in self.extra:
            resolver = ""
        self.write("mailgun.conf", configs.MAILGUN.format(
            extra=self.extra, resolver=resolver, **v))
        mmdb.write(os.path.join(self.dir, "etc", "geo.mmdb"), mmdb.SAMPLE)
        users = ""
        if self.as_root:
            users = "User www-data\nGroup mail"
        self.write("httpd.conf", configs.HTTPD.format(
            user_lines=users, extra=self.httpd_extra, **v))
        users, chroot = "", ""
        if not self.as_root:
            users = ("default_internal_user = %s\ndefault_internal_group = %s"
                     "\ndefault_login_user = %s" % (
                         v["user"], v["group"], v["user"]))
            chroot = "chroot ="
        template, version = configs.DOVECOT, "2.3"
        if self.dovecot_root:
            template, version = configs.DOVECOT_2_4, "2.4"
        self.write("dovecot.conf", template.format(
            sample=configs.dovecot_sample(ROOT + "/conf", v, version),
            user_lines=users, chroot=chroot, **v) +
            self.dovecot_extra.replace("{dir}", self.dir).replace(
                "{user}", self.user))
        if self.variant == "asan":
            self.sanitize_dovecot()

    def sanitize_dovecot(self):
        path = self.dir + "/bin/sanitized"
        with open(path, "w") as f:
            f.write(configs.SANITIZED.format(runtime=self.asan_runtime()))
        os.chmod(path, 0o755)
        with open(self.dir + "/etc/dovecot.conf", "a") as f:
            f.write(configs.DOVECOT_SANITIZED.format(dir=self.dir))

    # --- life ---

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if k in ("PATH", "LANG", "LC_ALL", "HOME", "LOGNAME", "USER")}
        env["MG_TEST_DIR"] = self.dir + "/faults"
        env["TZ"] = "UTC"
        if self.variant == "asan":
            # at its end a worker's pools are not freed, which is no leak
            env["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=1"
        return env

    def ctl(self, *args, check=True, stdin=None):
        """mailgunctl; its output as text."""
        done = subprocess.run(
            [self.dir + "/bin/mailgunctl", "-c",
             self.dir + "/etc/mailgun.conf"] + list(args),
            env=self.environment(), text=True, input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode:
            raise AssertionError("mailgunctl %s: %s%s" % (
                " ".join(args), done.stdout, done.stderr))
        return done.stdout if check else done

    def doveadm(self, *args):
        """doveadm at this stack's Dovecot; its output as text."""
        done = subprocess.run(
            self.dovecot_command("doveadm", *args),
            env=self.host_environment(), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        if done.returncode:
            raise AssertionError("doveadm %s: %s%s" % (
                " ".join(args), done.stdout, done.stderr))
        return done.stdout

    def setup(self):
        """Directories, configuration, store, account, key, domain."""
        self.prepare()
        self.faults = Faults(self.dir + "/faults")
        if self.store == "postgresql":
            from .postgres import Postgres
            self.pg = Postgres(self.dir + "/pg", self.pg_port,
                               self.dir + "/log/postgres.log")
        self.configure()
        self.ctl("init")
        self.ctl("account", "add", self.account)
        self.key = self.ctl("key", "add", self.account).split()[-1]
        self.ctl("domain", "add", self.domain, "--account", self.account,
                 "--password", self.smtp_password)
        self.ctl("mailbox", "add", self.mailbox, self.mailbox_password)

    def start(self):
        self.setup()
        self.start_mx()
        self.start_hooks()
        self.start_smtpd()
        self.start_dovecot()
        self.start_httpd()

    def launch(self, name, argv, log=None, env=None):
        with undisturbed():
            p = Process(name, argv, "%s/log/%s.log" % (self.dir, log or name),
                        env=env or self.environment(), cwd="/")
            self.processes[name] = p
        return p

    def start_mx(self, *more):
        self.mx_dir = self.dir + "/mx"
        self.mx_log = self.dir + "/log/mx.json"
        self.launch("mx", [
            sys.executable, ROOT + "/tests/stack/mx.py", "--dir", self.mx_dir,
            "--log", self.mx_log, "--port", str(self.mx_port),
            "--certificate", self.dir + "/etc/cert.pem",
            "--key", self.dir + "/etc/key.pem", *more
        ]).wait_listening(self.mx_port)

    def start_hooks(self):
        self.hook_log = self.dir + "/log/hooks.json"
        self.hook_url = "http://127.0.0.1:%d/hook" % self.hook_port
        self.launch("hooks", [
            sys.executable, ROOT + "/tests/stack/hooks.py", "--port",
            str(self.hook_port), "--log", self.hook_log
        ]).wait_listening(self.hook_port)

    def start_smtpd(self):
        self.launch("smtpd", [
            self.dir + "/bin/mailgun-smtpd", "-c",
            self.dir + "/etc/mailgun.conf", "-f"
        ]).wait_listening(self.smtp_port)

    def start_dovecot(self):
        """Dovecot loads login modules from one compiled-in directory only; a
        private mount puts ours there without touching the system's."""
        root = self.dovecot_root or ""
        bin_dir = self.dir + "/bin"
        if root:
            bin_dir = "%s/src/build/%s" % (root, self.variant)
        auth = self.dir + "/dovecot-auth-modules"
        shutil.rmtree(auth, ignore_errors=True)
        shutil.copytree(root + AUTH_MODULES, auth)
        shutil.copy(bin_dir + "/libauthdb_mailgun.so", auth)
        modules = self.dir + "/dovecot-modules"
        for path in glob.glob(root + "/usr/lib/dovecot/modules/*.so"):
            link = os.path.join(modules, os.path.basename(path))
            if not os.path.exists(link):
                os.symlink(path[len(root):], link)
        shutil.copy(bin_dir + "/lib20_mailgun_plugin.so", modules)
        self.launch("dovecot", self.dovecot_command("dovecot", "-F")
                    ).wait_listening(self.imap_port)

    def dovecot_command(self, program, *args):
        """How to start one of Dovecot's programs, among our mounts."""
        auth = self.dir + "/dovecot-auth-modules"
        command = [program, "-c", self.dir + "/etc/dovecot.conf"] + list(args)
        unshare = ["unshare", "-m"]
        if not self.as_root:
            unshare = ["unshare", "-U", "--map-current-user", "-m",
                       "--keep-caps"]
        if self.dovecot_root:
            return unshare + [
                "sh", "-c", 'root="$1"; mount --bind "$2" "$root$3" || exit; '
                'for d in /proc "$4" "$5"; do mkdir -p "$root$d" && '
                'mount --rbind "$d" "$root$d" || exit; done; shift 5; '
                'exec chroot "$root" "$@"', "sh", self.dovecot_root, auth,
                AUTH_MODULES, self.dir, self.run] + command
        if self.as_root and subprocess.run(
                unshare + ["true"], stderr=subprocess.DEVNULL).returncode:
            self.install_login_module()
            return command
        return unshare + [
            "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"',
            "sh", auth, AUTH_MODULES] + command

    def install_login_module(self):
        """Where mounts are not allowed (a container, a chroot): into the
        system's directory until stop()."""
        path = AUTH_MODULES + "/libauthdb_mailgun.so"
        if not os.path.exists(path):
            shutil.copy(self.dir + "/bin/libauthdb_mailgun.so", path)
            self.installed = path

    @staticmethod
    def asan_runtime():
        return subprocess.run(
            ["gcc", "-print-file-name=libasan.so"], text=True,
            stdout=subprocess.PIPE).stdout.strip()

    def host_environment(self):
        """httpd and doveadm themselves have no sanitizer's runtime."""
        env = self.environment()
        if self.variant == "asan":
            env["LD_PRELOAD"] = self.asan_runtime()
        return env

    def start_httpd(self):
        self.launch("httpd", ["/usr/sbin/apache2", "-f",
                              self.dir + "/etc/httpd.conf", "-DFOREGROUND"],
                    log="httpd-stderr", env=self.host_environment()
                    ).wait_listening(self.api_port)

    def graceful(self):
        os.kill(self.processes["httpd"].pid, signal.SIGUSR1)

    def restart(self, name):
        self.processes[name].stop()
        getattr(self, "start_" + name)()

    def stop(self):
        problems = []
        for name in ("httpd", "smtpd", "dovecot", "hooks", "mx"):
            if name in self.processes:
                try:
                    self.processes[name].stop()
                except AssertionError as e:
                    problems.append(str(e))
        if self.pg:
            self.pg.stop()
        if self.installed:
            os.unlink(self.installed)
            self.installed = None
        if self.short:
            shutil.rmtree(self.short, ignore_errors=True)
        if problems:
            raise AssertionError("\n".join(problems))

    def clean(self):
        if self.elsewhere:
            shutil.rmtree(self.elsewhere, ignore_errors=True)

    # --- use ---

    @property
    def api_url(self):
        return "http://127.0.0.1:%d/v2" % self.api_port

    @functools.cached_property
    def http(self):
        import requests
        session = requests.Session()
        session.trust_env = False
        return session

    def api(self, method, path, key=None, **kwargs):
        kwargs.setdefault("timeout", 60)
        return self.http.request(
            method, self.api_url + path,
            auth=("api", key or self.key), **kwargs)

    def send(self, **fields):
        data = {"from": "me@" + self.domain, "to": "alex@remote.test",
                "subject": "Hello", "text": "Testing some awesomeness!"}
        data.update({k.rstrip("_"): v for k, v in fields.items()})
        reply = self.api("POST", "/%s/messages" % self.domain, data=data)
        assert reply.status_code == 200, reply.text
        return reply.json()["id"].strip("<>")

    def queued(self):
        """Deliveries in the queue, webhooks included."""
        text = self.ctl("queue", "list", "--limit", "100000")
        return [line for line in text.splitlines()[1:]
                if line[:1].isdigit()]

    def mx_messages(self, to=None):
        """What the sandbox MX took: its log lines, oldest first."""
        return [m for m in self.json_lines(self.mx_log)
                if to is None or to in m["to"]]

    def mx_content(self, line):
        with open("%s/new/%s" % (self.mx_dir, line["file"]), "rb") as f:
            return f.read()

    def hooks(self, path="/hook"):
        return [h for h in self.json_lines(self.hook_log)
                if h["path"].startswith(path)]

    @staticmethod
    def json_lines(path):
        if not os.path.exists(path):
            return []
        with open(path) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def wait_mx(self, to, count=1, timeout=30):
        wait_for("%d messages to %s at the MX" % (count, to),
                 lambda: len(self.mx_messages(to)) >= count, timeout)
        return self.mx_messages(to)

    def wait_hook(self, test, path="/hook", timeout=30):
        return wait_for("a post to " + path, lambda: [
            h for h in self.hooks(path) if test(h)], timeout)
