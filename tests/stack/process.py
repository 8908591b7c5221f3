"""Processes that are started, watched and stopped: by pid, only our own."""
import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import threading
import time


def free_ports(n):
    """n loopback ports that were free a moment ago, from 20000 on and below
    those that the kernel gives to outgoing connections of others (32768)."""
    sockets = []
    while len(sockets) < n:
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", random.randint(20000, 32767)))
            sockets.append(s)
        except OSError:
            s.close()
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(what, test, timeout=30.0, pause=0.05):
    """Until test() is true; its value is returned. Says what was waited for."""
    end = time.monotonic() + timeout
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (timeout, what))
        time.sleep(pause)


def listens(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def reachable_by(path, user):
    """True if user may walk down to path."""
    entry = pwd.getpwnam(user)
    path = os.path.realpath(path)
    while True:
        st = os.stat(path)
        bit = (0o100 if st.st_uid == entry.pw_uid else
               0o010 if st.st_gid == entry.pw_gid else 0o001)
        if not st.st_mode & bit:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


@contextlib.contextmanager
def undisturbed():
    """SIGINT and SIGTERM wait for the end of the block: who is interrupted
    between a start and writing it down would leave that process behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = []
    before = {number: signal.signal(number, lambda n, _: waiting.append(n))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in waiting:
            signal.raise_signal(number)


class Process:
    """A server in the foreground, its output in a log file."""
    def __init__(self, name, argv, log, env=None, cwd=None):
        self.name = name
        self.log = log
        self.started = time.time()
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=env, cwd=cwd, start_new_session=True)
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def stop(self, sig=signal.SIGTERM, timeout=40):
        if not self.alive():
            return self.popen.returncode
        os.kill(self.pid, sig)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.popen.wait()
            raise AssertionError("%s (pid %d) did not stop within %d s"
                                 % (self.name, self.pid, timeout))

    def wait_listening(self, port, timeout=30):
        def test():
            if not self.alive():
                raise AssertionError("%s ended with %s:\n%s" % (
                    self.name, self.popen.returncode, self.tail()))
            return listens(port)
        wait_for("%s on port %d\n" % (self.name, port), test, timeout)

    def tail(self, lines=30):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])


def children(pid):
    """The pids of all descendants."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        try:
            tasks = os.listdir("/proc/%d/task" % parent)
        except OSError:
            continue
        for task in tasks:
            try:
                with open("/proc/%d/task/%s/children" % (parent, task)) as f:
                    kids = [int(x) for x in f.read().split()]
            except OSError:
                continue
            found += kids
            todo += kids
    return found


def title(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
