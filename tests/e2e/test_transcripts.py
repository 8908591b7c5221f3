"""The transcripts of tests/smtp against the real mailgun-smtpd, with the real
auth workers. (tests/unit/test_smtp_transcripts.c runs them in one process.)"""
import os

import pytest

from conftest import make_env
from tests.smtp import run_transcripts


def populate(env):
    for domain in ("a.test", "b.test"):
        env.ctl("domain", "add", domain, "--account", env.account,
                "--password", "postmaster-secret")
        for name in ("bob", "carol"):
            env.ctl("mailbox", "add", "%s@%s" % (name, domain), "secret")
    env.ctl("route", "add", env.account, "--expression",
            "match_recipient('routed@a.test')", "--action",
            "forward('%s')" % "http://127.0.0.1:9/in")


@pytest.fixture(scope="module", params=["off", "on"])
def smtpd(request):
    env = make_env("transcripts-" + request.param,
                   extra=run_transcripts.SETTINGS +
                   "MailgunAuthWithoutTLS %s\n" % request.param)
    try:
        env.setup()
        populate(env)
        env.start_smtpd()
        env.with_auth = request.param == "on"
        yield env
    finally:
        env.stop()
        env.clean()


@pytest.mark.parametrize("path", run_transcripts.files(),
                         ids=os.path.basename)
def test_transcript(smtpd, path):
    ports = {"mx": smtpd.smtp_port, "submission": smtpd.submission_port,
             "smtps": smtpd.smtps_port}
    run_transcripts.run(path, ports, smtpd.with_auth)
