"""Other people's mail servers that relay through us, as the manual's recipes
have it, each with a private configuration.

What differs from the recipes: smtp.mailgun.org is smtp.mailgun.test, which is
127.0.0.1 (for Exim by a private /etc/hosts; Postfix is given the address),
and the port is a free one.
"""
import os
import pwd
import shutil
import subprocess

from .process import children, wait_for

HOST = "smtp.mailgun.test"
ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
EXIM = ROOT + "/build/exim"

# as printed, between what a private instance needs
POSTFIX = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/log
maillog_file_prefixes = /var, /dev/stdout, {dir}, /tmp
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = relay.customer.test
smtp_host_lookup = native

mydestination = localhost.localdomain, localhost
relayhost = [127.0.0.1]:{port}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = static:{login}:{password}
smtp_sasl_security_options = noanonymous

{extra}
"""

# the recipe's router and transport as printed, in a small exim.conf; the
# authenticators are Debian's, which read passwd.client by the host's name
EXIM_CONF = """\
exim_path = {exim}/usr/sbin/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {dir}/spool
log_file_path = {dir}/log_%slog
pid_file_path = {dir}/exim.pid
primary_hostname = relay.customer.test
domainlist local_domains = localhost
keep_environment = LD_LIBRARY_PATH
tls_advertise_hosts =
never_users =

begin routers
mailgun:
  driver = manualroute
  domains = ! +local_domains
  transport = mailgun_transport
  route_list = * {host} byname
# loopback is not somebody else, elsewhere
  self = send

begin transports
mailgun_transport:
  driver=smtp
  hosts_try_auth = {host}
  port = {port}
{extra}

begin authenticators
PASSWDLINE=${{sg{{${{lookup{{$host}}nwildlsearch{{{dir}/passwd.client}}\\
    {{$value}}fail}}}}{{\\\\N[\\\\^]\\\\N}}{{^^}}}}
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = "<; ^${{extract{{1}}{{:}}{{PASSWDLINE}}}}\\
    ^${{extract{{2}}{{:}}{{PASSWDLINE}}}}"

begin retry
* * F,1h,1s
"""

# somebody's Exim that finds nobody at late.test, except what its MX may refuse
EXIM_ELSEWHERE = """\
exim_path = {exim}/usr/sbin/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {dir}/spool
log_file_path = {dir}/log_%slog
pid_file_path = {dir}/exim.pid
primary_hostname = mail.late.test
keep_environment = LD_LIBRARY_PATH
tls_advertise_hosts =
never_users =
untrusted_set_sender = *

begin routers
onward:
  driver = manualroute
  domains = late.test
  local_parts = ^bounce-
  transport = to_mx
  route_list = * {host} byname
  self = send
back:
  driver = manualroute
  domains = ! late.test
  transport = to_us
  route_list = * {host} byname
  self = send

begin transports
to_mx:
  driver = smtp
  port = {mx_port}
to_us:
  driver = smtp
  port = {port}

begin retry
* * F,1h,1s
"""


def message(text):
    return ("From: Customer <me@customer.test>\nTo: Bob <%s>\n"
            "Subject: relayed\nX-Mailgun-Tag: relay\n\n%s\n" % text)


class PostfixRelay:
    """Needs root: Postfix's master does."""

    def __init__(self, directory, port, login, password, extra=""):
        self.dir = directory
        shutil.rmtree(directory, ignore_errors=True)
        for name in ("etc", "queue", "data"):
            os.makedirs(os.path.join(directory, name))
        os.chmod(directory, 0o755)
        os.chown(directory + "/data", pwd.getpwnam("postfix").pw_uid, -1)
        with open(directory + "/etc/main.cf", "w") as f:
            f.write(POSTFIX.format(dir=directory, host=HOST, port=port,
                                   login=login, password=password,
                                   extra=extra))
        self.master_cf()
        self.call("start")
        with open(directory + "/queue/pid/master.pid") as f:
            self.pid = int(f.read())

    def master_cf(self):
        """Debian's own, without a port of its own, nothing chrooted."""
        out = []
        with open("/usr/share/postfix/master.cf.dist") as f:
            for line in f:
                fields = line.split()
                if len(fields) == 8 and not line.startswith(("#", " ")):
                    if fields[1] == "inet":
                        continue
                    fields[4] = "n"
                    line = "\t".join(fields) + "\n"
                out.append(line)
        out.append("postlog unix-dgram n - n - 1 postlogd\n")
        with open(self.dir + "/etc/master.cf", "w") as f:
            f.writelines(out)

    def call(self, verb):
        subprocess.run(["postfix", "-c", self.dir + "/etc", verb], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def send(self, recipient, text):
        subprocess.run(["/usr/sbin/sendmail", "-C", self.dir + "/etc", "-f",
                        "me@customer.test", recipient], check=True, text=True,
                       input=message((recipient, text)))

    def log(self):
        with open(self.dir + "/log") as f:
            return f.read()

    def stop(self):
        pids = children(self.pid)
        self.call("stop")
        wait_for("the end of Postfix", lambda: not any(
            os.path.exists("/proc/%d" % p) for p in pids + [self.pid]), 30)


class EximRelay:
    """No daemon: each message is delivered by who hands it in. Among private
    mounts, because Debian's Exim knows its user by name, and so that the
    recipe's host has an address."""

    def __init__(self, directory, port, login, password, extra=""):
        self.dir = directory
        self.uid = 64999 if os.getuid() == 0 else os.getuid()
        self.gid = 64999 if os.getuid() == 0 else os.getgid()
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory + "/spool")
        os.chmod(directory, 0o755)
        os.chown(directory + "/spool", self.uid, self.gid)
        os.chown(directory, self.uid, self.gid)
        self.write("exim.conf", self.conf().format(
            exim=EXIM, dir=directory, host=HOST, port=port, extra=extra,
            mx_port=extra))
        self.write("passwd.client", "*.mailgun.test:%s:%s\n" % (
            login, password))
        self.write("passwd", self.with_exim(
            "/etc/passwd", "Debian-exim:x:%d:%d::/nonexistent:"
            "/usr/sbin/nologin\n" % (self.uid, self.gid)))
        self.write("group", self.with_exim(
            "/etc/group", "Debian-exim:x:%d:\n" % self.gid))
        self.write("hosts", "127.0.0.1 localhost\n127.0.0.1 %s\n" % HOST)

    def conf(self):
        return EXIM_CONF

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)

    @staticmethod
    def with_exim(path, line):
        """The first entry of a number is the one that is found by it."""
        with open(path) as f:
            return line + f.read()

    @staticmethod
    def unshare():
        if os.getuid() == 0:
            return ["unshare", "-m"]
        return ["unshare", "-U", "--map-current-user", "-m", "--keep-caps"]

    @classmethod
    def why_not(cls):
        """Why Exim cannot run here, or None."""
        if not os.path.exists(EXIM + "/usr/sbin/exim4"):
            return None  # the test shall fail: make deps unpacks it
        done = subprocess.run(cls.unshare() + ["mount", "--bind", "/etc/hosts",
                                               "/etc/hosts"],
                              stderr=subprocess.DEVNULL)
        return "mounts are not allowed here" if done.returncode else None

    def exim(self, *args, **kwargs):
        assert os.path.exists(EXIM + "/usr/sbin/exim4"), "run make deps"
        libs = [os.path.join(EXIM, "usr/lib", name) for name in
                os.listdir(EXIM + "/usr/lib") if "linux-gnu" in name]
        script = "; ".join('mount --bind "$1/%s" /etc/%s || exit' % (n, n)
                           for n in ("passwd", "group", "hosts"))
        return subprocess.run(
            self.unshare() + ["sh", "-c", script + '; shift; exec "$@"', "sh",
                              self.dir, EXIM + "/usr/sbin/exim4", "-C",
                              self.dir + "/exim.conf"] + list(args),
            env={"PATH": os.environ["PATH"],
                 "LD_LIBRARY_PATH": ":".join(libs)},
            text=True, check=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **kwargs)

    def send(self, recipient, text):
        self.exim("-odf", "-f", "me@customer.test", recipient,
                  input=message((recipient, text)))

    def log(self):
        path = self.dir + "/log_mainlog"
        if not os.path.exists(path):
            return ""
        with open(path) as f:
            return f.read()

    def stop(self):
        pass


class EximElsewhere(EximRelay):
    """Somebody else's, whose reports come back to us."""

    def __init__(self, directory, port, mx_port):
        super().__init__(directory, port, "", "", mx_port)

    def conf(self):
        return EXIM_ELSEWHERE

    def take(self, sender, recipients, content):
        """As if it had come by SMTP."""
        self.exim("-odf", "-i", "-f", sender, *recipients, input=content)
        self.exim("-q")
