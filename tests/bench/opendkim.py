"""A private OpenDKIM that signs what a private Postfix takes."""
import os
import pwd
import shutil
import subprocess

from tests.stack.process import Process, free_ports

CONF = """\
Domain {domain}
Selector bench
KeyFile {dir}/bench.private
Mode s
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
Socket inet:{port}@127.0.0.1
InternalHosts {dir}/hosts
UserID opendkim
Syslog no
"""


class OpenDkim:
    def __init__(self, directory, domain):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        os.chmod(directory, 0o755)
        self.port = free_ports(1)[0]
        subprocess.run(["openssl", "genrsa", "-traditional", "-out",
                        directory + "/bench.private", "2048"], check=True,
                       stderr=subprocess.DEVNULL)
        owner = pwd.getpwnam("opendkim")
        os.chown(directory + "/bench.private", owner.pw_uid, owner.pw_gid)
        os.chmod(directory + "/bench.private", 0o600)
        with open(directory + "/hosts", "w") as f:
            f.write("127.0.0.0/8\n")
        with open(directory + "/opendkim.conf", "w") as f:
            f.write(CONF.format(dir=directory, domain=domain, port=self.port))
        self.process = Process("opendkim", [
            "/usr/sbin/opendkim", "-f", "-x", directory + "/opendkim.conf"],
            directory + "/log")
        self.process.wait_listening(self.port)
        self.pid = self.process.pid

    def stop(self):
        self.process.stop()
