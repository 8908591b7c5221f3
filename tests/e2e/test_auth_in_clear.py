"""MailgunAuthWithoutTLS: never, to loopback addresses only, to everybody."""
import smtplib
import socket
import ssl

import pytest

from conftest import make_env
from tests.stack.process import free_ports, wait_for


def own_address():
    """An address of this machine that is not loopback, or None. Nothing is
    sent: a UDP socket only looks up the way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return None
        name = s.getsockname()[0]
    return None if name.startswith("127.") else name


def session(host, port):
    s = smtplib.SMTP(host, port, local_hostname="client.test", timeout=20)
    s.ehlo()
    return s


@pytest.mark.parametrize("word, loopback, elsewhere", [
    ("off", False, False), ("loopback", True, False), ("on", True, True)])
def test_in_clear(word, loopback, elsewhere):
    outer, port = own_address(), free_ports(1)[0]
    extra = "MailgunAuthWithoutTLS %s\n" % word
    if outer:
        extra += "MailgunListen %s:%d mx\n" % (outer, port)
    env = make_env("clear", extra=extra)
    try:
        env.setup()
        env.start_smtpd()
        places = [("127.0.0.1", env.smtp_port, loopback),
                  ("127.0.0.1", env.submission_port, loopback)]
        if outer:
            places.append((outer, port, elsewhere))
        for host, number, offered in places:
            s = session(host, number)
            assert s.has_extn("auth") == offered, (host, number)
            s.user, s.password = env.smtp_login, env.smtp_password
            code, text = s.auth("PLAIN", s.auth_plain) if offered else \
                s.docmd("AUTH PLAIN " + "AGEAYg==")
            assert code == (235 if offered else 538), text
            # a login relays, nobody else does
            code = s.mail("me@" + env.domain)[0]
            if number == env.submission_port and not offered:
                assert code == 530
            else:
                assert code == 250
                assert s.rcpt("x@elsewhere.test")[0] == (
                    250 if offered else 550)
            s.quit()
            # under TLS it is there whatever the word
            s = session(host, number)
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            s.starttls(context=context)
            s.ehlo()
            assert s.login(env.smtp_login, env.smtp_password)[0] == 235
            s.quit()
    finally:
        env.stop()
        env.clean()
    assert wait_for("the master's end", lambda: not env.processes[
        "smtpd"].alive())
