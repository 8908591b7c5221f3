"""Our directives in httpd's own configuration: the same table, the same
words, with httpd's file and line."""
import os
import subprocess

import pytest

from tests.stack.stack import MODULES, ROOT

MODULE = "%s/build/%s/mod_mailgun.so" % (
    ROOT, os.environ.get("MG_VARIANT", "test"))


@pytest.mark.skipif(os.environ.get("MG_VARIANT") == "asan",
                    reason="httpd has no sanitizer's runtime")
@pytest.mark.parametrize("line, words", [
    ("MailgunSenders 3", None),
    ("mailgunsenders 3", None),
    ("MailgunListen 127.0.0.1:2525 mx", None),
    ("MailgunAPI on", None),
    ("MailgunSenders many", "MailgunSenders: 'many' is no number; try 2"),
    ("MailgunStore /x/y", "MailgunStore: '/x/y' is no store; try sqlite:"),
    ("MailgunAPI maybe", "MailgunAPI must be On or Off"),
    ("MailgunNonsense 1", "Invalid command 'MailgunNonsense'"),
])
def test_line(tmp_path, line, words):
    conf = tmp_path / "httpd.conf"
    conf.write_text(
        "ServerName localhost\nListen 127.0.0.1:1\nErrorLog %s/log\n"
        "PidFile %s/pid\nLoadModule mpm_event_module %s/mod_mpm_event.so\n"
        "LoadModule mailgun_module %s\n%s\n" % (
            tmp_path, tmp_path, MODULES, MODULE, line))
    done = subprocess.run(["/usr/sbin/apache2", "-t", "-f", str(conf)],
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if words is None:
        assert done.returncode == 0 and "Syntax OK" in done.stdout, done.stdout
    else:
        assert done.returncode == 1
        assert "error on line 7 of %s" % conf in done.stdout
        assert words in done.stdout
