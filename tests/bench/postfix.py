"""A private Postfix, as shipped but for where it listens and relays to."""
import os
import pwd
import shutil
import subprocess
import time

from tests.stack.process import children, free_ports, listens, wait_for

MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {log}
maillog_file_prefixes = /var, /dev/stdout, {dir}, /tmp
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.bench.test
mynetworks = 127.0.0.0/8
mydestination =
relayhost = [127.0.0.1]:{sink}
smtp_host_lookup = native
smtpd_client_connection_count_limit = 0
message_size_limit = 30000000
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C {env}
"""


class Postfix:
    def __init__(self, directory, sink_port, syncs, milter_port=None):
        self.dir = directory
        shutil.rmtree(directory, ignore_errors=True)
        for name in ("etc", "queue", "data"):
            os.makedirs(os.path.join(directory, name))
        os.chmod(directory, 0o755)
        owner = pwd.getpwnam("postfix")
        os.chown(directory + "/data", owner.pw_uid, owner.pw_gid)
        self.port = free_ports(1)[0]
        env = " ".join("%s=%s" % kv for kv in syncs.env().items())
        with open(directory + "/etc/main.cf", "w") as f:
            f.write(MAIN.format(dir=directory, sink=sink_port, env=env,
                                log=directory + "/log"))
            if milter_port:
                f.write("smtpd_milters = inet:127.0.0.1:%d\n" % milter_port)
        self.master_cf()
        self.call("start")
        wait_for("Postfix", lambda: listens(self.port))
        with open(directory + "/queue/pid/master.pid") as f:
            self.pid = int(f.read())

    def master_cf(self):
        """Debian's own, our port in place of smtp, nothing chrooted."""
        with open("/usr/share/postfix/master.cf.dist") as f:
            lines = f.readlines()
        out = []
        for line in lines:
            fields = line.split()
            if len(fields) == 8 and not line.startswith(("#", " ")):
                if fields[0] == "smtp" and fields[1] == "inet":
                    fields[0] = "127.0.0.1:%d" % self.port
                fields[4] = "n"
                line = "\t".join(fields) + "\n"
            out.append(line)
        out.append("postlog unix-dgram n - n - 1 postlogd\n")
        with open(self.dir + "/etc/master.cf", "w") as f:
            f.writelines(out)

    def call(self, verb):
        subprocess.run(["postfix", "-c", self.dir + "/etc", verb], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        pids = children(self.pid)
        self.call("stop")
        wait_for("the end of Postfix", lambda: not any(
            os.path.exists("/proc/%d" % p) for p in pids + [self.pid]), 30)
        time.sleep(0.2)
