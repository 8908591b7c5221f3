#!/usr/bin/python3
"""Run the unit tests of a build and the checks of the sources.

  run_unit.py build/test/unit tests/checks

The programs that test the store share one PostgreSQL, each with databases of
its own (unit_store.h). Prints a line for each program, the output of those that
failed, and last "N passed, N failed".
"""
import concurrent.futures
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests.stack.postgres import Postgres       # noqa: E402
from tests.stack.process import free_ports      # noqa: E402

JOBS = 4
MEMORY = "/dev/shm"
ROOM = 1 << 30      # containers often have 64 MB there


def programs(folders):
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and os.path.isfile(path):
                yield name, path


def run(path):
    """(passed, failed, output)"""
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=300)
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as e:
        output = (e.stdout or b"").decode("utf-8", "replace")
        return 0, 1, output + "\nnot done within 300 s"
    passed = len(re.findall(r"^\[       OK \]", output, re.M))
    failed = len(re.findall(r"^\[  FAILED  \] \S+$", output, re.M)) // 2
    if code and not failed:
        failed = 1
    if not code and not passed:
        passed = 1
    return passed, failed, output


@contextlib.contextmanager
def postgresql():
    """One server while the programs run; gone afterwards, however they went."""
    memory = os.statvfs(MEMORY) if os.path.isdir(MEMORY) else None
    room = memory and memory.f_bavail * memory.f_frsize >= ROOM
    with tempfile.TemporaryDirectory(
            prefix="mailgun-pg-", dir=MEMORY if room else None) as top:
        os.chmod(top, 0o755)
        port = free_ports(1)[0]
        server = Postgres(top + "/pg", port, top + "/log", durable=False)
        os.environ["MG_UNIT_PGSQL_PORT"] = str(port)
        try:
            yield
        finally:
            server.stop()


def run_all(folders):
    total = [0, 0]
    # mostly they wait: for a disk, a timer, a server that starts
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        def timed(name, path):
            began = time.monotonic()
            return name, run(path), time.monotonic() - began
        futures = [pool.submit(timed, name, path)
                   for name, path in programs(folders)]
        for future in futures:
            name, (passed, failed, output), seconds = future.result()
            total[0] += passed
            total[1] += failed
            if failed:
                print(output)
            print("%-28s %3d passed %s %.1f s" % (
                name, passed, "%d FAILED" % failed if failed else "",
                seconds), flush=True)
    print("%d passed, %d failed" % tuple(total))
    return 1 if total[1] else 0


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with postgresql():
        return run_all(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
