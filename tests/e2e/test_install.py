"""make install: where Debian's httpd and Dovecot look, and fit to be used."""
import os
import shutil
import stat
import subprocess

import pytest

from tests.stack.stack import ROOT

WHERE = {
    "usr/sbin/mailgun-smtpd": 0o755,
    "usr/bin/mailgunctl": 0o755,
    "usr/lib/apache2/modules/mod_mailgun.so": 0o644,
    "usr/lib/dovecot/modules/auth/libauthdb_mailgun.so": 0o644,
    "usr/lib/dovecot/modules/lib20_mailgun_plugin.so": 0o644,
    "etc/mailgun/mailgun.conf": 0o644,
    "etc/apache2/mods-available/mailgun.load": 0o644,
    "etc/apache2/mods-available/mailgun.conf": 0o644,
    "etc/apache2/sites-available/mailgun-api.conf": 0o644,
    "etc/apache2/sites-available/mailgun-tracking.conf": 0o644,
    "usr/share/doc/mailgun/dovecot-2.3.conf": 0o644,
    "usr/share/doc/mailgun/dovecot-2.4.conf": 0o644,
    "lib/systemd/system/mailgun-smtpd.service": 0o644,
    "usr/lib/tmpfiles.d/mailgun.conf": 0o644,
    "usr/lib/sysusers.d/mailgun.conf": 0o644,
}
HTTPD_MODULES = "mpm_event authz_core socache_shmcb ssl mime".split()


def run(argv, **kwargs):
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **kwargs)
    assert done.returncode == 0, "%s:\n%s" % (" ".join(argv), done.stdout)
    return done.stdout


# what a make around us has put in the environment
MAKES = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "TEST",
         "SANITIZER", "VARIANT", "DESTDIR")


def make(*args):
    """As one types it."""
    env = {k: v for k, v in os.environ.items() if k not in MAKES}
    return run(["make", "--no-print-directory", "-s"] + list(args), cwd=ROOT,
               env=env)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("install"))
    make("install", "DESTDIR=" + place)
    os.makedirs(place + "/etc/mailgun/tls")
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
         place + "/etc/mailgun/tls/key.pem", "-out",
         place + "/etc/mailgun/tls/cert.pem", "-subj", "/CN=api.example.net"])
    return place


def here(installed, name):
    """An installed file's text, its absolute paths under DESTDIR."""
    with open(os.path.join(installed, name)) as f:
        text = f.read()
    for path in ("/etc/mailgun/", "/usr/lib/apache2/modules/mod_mailgun",
                 "/usr/sbin/mailgun-smtpd"):
        text = text.replace(path, installed + path)
    return text


def test_everything_is_in_its_place(installed):
    found = {}
    for folder, _, names in os.walk(installed):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, installed)] = stat.S_IMODE(
                os.stat(path).st_mode)
    for name in ("cert.pem", "key.pem"):
        del found["etc/mailgun/tls/" + name]
    assert found == WHERE


def test_own_configuration_stays(installed):
    path = installed + "/etc/mailgun/mailgun.conf"
    with open(path) as f:
        text = f.read()
    try:
        with open(path, "a") as f:
            f.write("# mine\n")
        make("install", "DESTDIR=" + installed)
        with open(path) as f:
            assert f.read() == text + "# mine\n"
    finally:
        with open(path, "w") as f:
            f.write(text)


def test_sample_configuration_is_right(installed):
    ctl = installed + "/usr/bin/mailgunctl"
    run([ctl, "-c", installed + "/etc/mailgun/mailgun.conf", "config",
         "check"])
    bad = installed + "/bad.conf"
    with open(bad, "w") as f:
        f.write("MailgunSenders some\n")
    assert subprocess.run([ctl, "-c", bad, "config", "check"],
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode != 0
    os.unlink(bad)


def test_httpd_takes_the_snippets(installed):
    lines = ["ServerRoot " + installed, "ServerName localhost",
             "PidFile %s/httpd.pid" % installed, "Listen 127.0.0.1:1",
             "ErrorLog %s/httpd.log" % installed, "TypesConfig /dev/null"]
    lines += ["LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so"
              % (m, m) for m in HTTPD_MODULES]
    # in a2enmod's order: all *.load, then all *.conf, then the sites
    for name in ("mods-available/mailgun.load", "mods-available/mailgun.conf",
                 "sites-available/mailgun-api.conf"):
        lines.append(here(installed, "etc/apache2/" + name))
    conf = installed + "/httpd.conf"
    with open(conf, "w") as f:
        f.write("\n".join(lines))
    assert "Syntax OK" in run(["/usr/sbin/apache2", "-t", "-f", conf])
    out = run(["/usr/sbin/apache2", "-M", "-f", conf])
    assert "mailgun_module" in out
    for name in ("httpd.conf", "httpd.log"):
        if os.path.exists(installed + "/" + name):
            os.unlink(installed + "/" + name)


def test_dovecot_reads_the_sample(installed):
    version = run(["dovecot", "--version"])[:3]
    conf = installed + "/dovecot.conf"
    head = ""
    if version == "2.4":
        head = "dovecot_config_version = 2.4.0\ndovecot_storage_version = " \
               "2.4.0\n"
    text = here(installed, "usr/share/doc/mailgun/dovecot-%s.conf" % version)
    with open(conf, "w") as f:
        f.write(text if "dovecot_config_version" in text else head + text)
    out = run(["doveconf", "-n", "-c", conf])
    os.unlink(conf)
    assert "mailgun" in out and "Error" not in out


@pytest.mark.skipif(not shutil.which("systemd-analyze"),
                    reason="no systemd here")
def test_systemd_takes_the_unit(installed):
    unit = installed + "/mailgun-smtpd.service"
    with open(unit, "w") as f:
        f.write(here(installed, "lib/systemd/system/mailgun-smtpd.service"))
    out = run(["systemd-analyze", "verify", "--man=no", unit])
    os.unlink(unit)
    assert "mailgun" not in out, out


@pytest.mark.skipif(not shutil.which("systemd-sysusers") or os.getuid() != 0,
                    reason="no systemd here, or not root")
def test_user_and_directories_are_made(installed, tmp_path):
    root = str(tmp_path)
    for name in ("usr/lib/sysusers.d", "usr/lib/tmpfiles.d"):
        shutil.copytree(os.path.join(installed, name),
                        os.path.join(root, name))
    os.makedirs(root + "/etc")
    with open(root + "/etc/passwd", "w") as f:
        f.write("root:x:0:0::/root:/bin/sh\n"
                "www-data:x:33:33::/var/www:/usr/sbin/nologin\n")
    with open(root + "/etc/group", "w") as f:
        f.write("root:x:0:\nwww-data:x:33:\n")
    run(["systemd-sysusers", "--root=" + root])
    with open(root + "/etc/group") as f:
        groups = [line.strip().split(":") for line in f]
    assert ["www-data"] == [g[3] for g in groups if g[0] == "mailgun"]
    run(["systemd-tmpfiles", "--root=" + root, "--create"])
    st = os.stat(root + "/var/lib/mailgun")
    assert stat.S_IMODE(st.st_mode) == 0o2770
    with open(root + "/etc/passwd") as f:
        users = {line.split(":")[0]: line.split(":") for line in f}
    assert int(users["mailgun"][2]) == st.st_uid
    assert os.path.isdir(root + "/var/lib/mailgun/spool")
