"""One real stack for all tests of a run; its logs are watched.

MG_VARIANT: build/<variant> (test, asan). MG_STORE: sqlite or postgresql.
A server's log line at warning or above fails the test during which it was
written, unless the test announced it: env.expect_log("regular expression").
"""
import itertools
import os
import re
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.stack.process import wait_for  # noqa: E402
from tests.stack.stack import ROOT, Stack  # noqa: E402

BAD = {
    "smtpd": re.compile(r": (err|warn): |AddressSanitizer|runtime error:"),
    "httpd": re.compile(r":(warn|error|crit|alert|emerg)\]"),
    "httpd-stderr": re.compile(r"AddressSanitizer|runtime error:"),
    "dovecot": re.compile(r"(Warning|Error|Panic|Fatal): "),
}
# how Dovecot's master calls an orderly stop
ALWAYS = [re.compile(r"master: Warning: Killed with signal 15 \(by pid=%d "
                     % os.getpid())]
counter = itertools.count(1)


class Env(Stack):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.read = {}
        self.expected = []

    def expect_log(self, pattern):
        self.expected.append(re.compile(pattern))

    def new_domain(self, account=None, password="domain-secret"):
        """A domain nobody else uses."""
        name = "d%d-%d.test" % (os.getpid(), next(counter))
        self.ctl("domain", "add", name, "--account", account or self.account,
                 "--password", password)
        return name

    def new_account(self):
        """(account, key)"""
        name = "account%d-%d" % (os.getpid(), next(counter))
        self.ctl("account", "add", name)
        return name, self.ctl("key", "add", name).split()[-1]

    def log_text(self, name):
        path = "%s/log/%s.log" % (self.dir, name)
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as f:
            return f.read()

    def unannounced(self):
        found = []
        for name, bad in BAD.items():
            path = "%s/log/%s.log" % (self.dir, name)
            if not os.path.exists(path):
                continue
            with open(path, errors="replace") as f:
                f.seek(self.read.get(name, 0))
                lines = f.readlines()
                self.read[name] = f.tell()
            found += [name + ": " + line.rstrip() for line in lines
                      if bad.search(line) and
                      not any(e.search(line) for e in ALWAYS + self.expected)]
        return found

    def wait(self, what, test, timeout=30):
        return wait_for(what, test, timeout)


def make_env(name, **kwargs):
    store = os.environ.get("MG_STORE", "sqlite")
    return Env(os.path.join(ROOT, "build", "e2e-%s-%s" % (name, store)),
               variant=os.environ.get("MG_VARIANT", "test"), store=store,
               **kwargs)


@pytest.fixture(scope="session")
def stack():
    env = make_env("main")
    try:
        env.start()
        yield env
    finally:
        env.stop()
        env.clean()


@pytest.fixture
def env(stack):
    """The common stack; use new_domain() for what others must not see."""
    stack.unannounced()
    stack.expected = []
    yield stack
    stack.faults.clear()
    found = stack.unannounced()
    assert not found, "unannounced in the logs:\n" + "\n".join(found)


@pytest.fixture
def own_env(request):
    """A stack of the test's own, for what disturbs others. Configuration by
    @pytest.mark.stack(extra="MailgunSenders 2")."""
    marker = request.node.get_closest_marker("stack")
    env = make_env("own", **(marker.kwargs if marker else {}))
    try:
        env.start()
        yield env
    finally:
        env.stop()
    found = env.unannounced()
    env.clean()
    assert not found, "unannounced in the logs:\n" + "\n".join(found)


def pytest_configure(config):
    config.addinivalue_line("markers", "stack(**kwargs): see own_env")
    config.addinivalue_line(
        "markers", "both: is run on PostgreSQL too (MG_STORE)")
    config.addinivalue_line("markers", "slow: minutes, not seconds")
