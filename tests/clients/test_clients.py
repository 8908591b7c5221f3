"""Clients that others wrote drive the stack: npm mailgun-js, nodemailer,
imapflow; Debian's swaks."""
import email
import email.policy
import json
import os
import smtplib
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def node(env, script, **more):
    values = dict(
        os.environ, API_KEY=env.key, API_PORT=env.api_port, DOMAIN=env.domain,
        SMTP_LOGIN=env.smtp_login, SMTP_PASSWORD=env.smtp_password,
        SUBMISSION_PORT=env.submission_port, SMTPS_PORT=env.smtps_port,
        IMAPS_PORT=env.imaps_port, MAILBOX=env.mailbox,
        MAILBOX_PASSWORD=env.mailbox_password, **more)
    done = subprocess.run(
        ["node", os.path.join(HERE, script)], text=True, timeout=120,
        env={k: str(v) for k, v in values.items()}, cwd=HERE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def at_mx(env, to):
    return email.message_from_bytes(env.mx_content(env.wait_mx(to)[0]),
                                    policy=email.policy.default)


def test_mailgun_js(env, tmp_path):
    mime = tmp_path / "message.mime"
    mime.write_text("From: me@%s\nTo: js-mime@client.test\nSubject: own mime\n"
                    "Message-Id: <my.own.id@%s>\n\nbuilt by the client\n"
                    % (env.domain, env.domain))
    out = node(env, "mailgun-js.js", MIME_FILE=mime)
    assert out["sent"]["message"] == "Queued. Thank you."
    assert out["sent"]["id"].startswith("<")
    got = at_mx(env, "js@client.test")
    assert got["Subject"] == "Grüße ✓"
    assert got.get_body(("html",)).get_content().strip() == "<b>Testing</b>"
    assert json.loads(got["X-Mailgun-Variables"]) == {"my-id": "17"}
    part = list(at_mx(env, "js-attached@client.test").iter_attachments())[0]
    assert part.get_filename() == "año.txt"
    assert part.get_content() == "file of the client\n"
    assert out["mime"]["id"] == "<my.own.id@%s>" % env.domain
    assert at_mx(env, "js-mime@client.test")["Subject"] == "own mime"
    assert out["bad"] == {"status": 400, "message": "Need at least one of "
                          "'text' or 'html' parameters specified"}
    assert out["created"] == {"message": "Created 1 mailboxes"}
    assert "js@" + env.domain in [
        i["mailbox"] for i in out["mailboxes"]["items"]]
    assert out["changed"] == {"message": "Password changed"}
    assert out["deleted"] == {"message": "Mailbox has been deleted",
                              "spec": "js@" + env.domain}
    assert env.domain in [i["name"] for i in out["domains"]["items"]]
    assert len(out["log"]["items"]) == 2
    assert out["denied"] == {"status": 401}


def test_nodemailer(env):
    out = node(env, "nodemailer.js")
    for how, to in (("starttls", "nm587@client.test"),
                    ("tls", "nm465@client.test")):
        assert out[how]["accepted"] == [to]
        assert out[how]["response"].startswith("250 2.0.0")
        got = at_mx(env, to)
        assert got["Subject"] == "Über nodemailer"
        assert got["Message-Id"] == out[how]["messageId"]


def test_imapflow(env):
    with smtplib.SMTP("127.0.0.1", env.smtp_port) as s:
        s.sendmail("bob@example.net", [env.mailbox],
                   "From: bob@example.net\r\nSubject: for imapflow\r\n\r\nx")
    env.wait("the delivery", lambda: not [
        q for q in env.queued() if env.mailbox in q])
    out = node(env, "imapflow.js")
    assert "for imapflow" in out["subjects"]
    assert out["moved"] == out["archive"] == len(out["subjects"])
    assert out["quota"]
    assert out["inbox"] == 1


def test_swaks(env):
    for args in (["--port", str(env.submission_port), "-tls"],
                 ["--port", str(env.smtps_port), "-tlsc"],
                 ["--port", str(env.smtp_port), "-tls", "--auth", "LOGIN"]):
        to = "swaks%d@client.test" % len(env.mx_messages())
        auth = [] if "--auth" in args else ["--auth", "PLAIN"]
        done = subprocess.run(
            ["swaks", "--server", "127.0.0.1", "--from", "me@" + env.domain,
             "--to", to, "--auth-user", env.smtp_login, "--auth-password",
             env.smtp_password] + auth + args, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        env.wait_mx(to)
