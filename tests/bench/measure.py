"""What the benchmarks share: CPU of a tree of processes, syncs, ratios."""
import mmap
import os
import statistics
import struct
import subprocess

from tests.stack.process import children
from tests.stack.stack import ROOT

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Of a process, its dead children and its living descendants."""
    total = 0
    for one in [pid] + children(pid):
        try:
            with open("/proc/%d/stat" % one) as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(x) for x in fields[11:15])
    return total / TICK


class Syncs:
    """Counts and slows fsync and fdatasync of who runs in its environment."""
    def __init__(self, directory, slow_us=0):
        self.library = os.path.join(directory, "slowsync.so")
        self.path = os.path.join(directory, "syncs")
        self.slow_us = slow_us
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", self.library,
                        ROOT + "/tests/bench/slowsync.c", "-ldl"], check=True)
        with open(self.path, "wb") as f:
            f.write(bytes(8))
        os.chmod(self.path, 0o666)
        os.chmod(self.library, 0o755)
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)

    def env(self):
        return {"LD_PRELOAD": self.library, "SLOWSYNC_FILE": self.path,
                "SLOWSYNC_US": str(self.slow_us)}

    def count(self):
        return struct.unpack("<Q", self.map[:8])[0]


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))] if values else 0


def ratios(ours, peers):
    """'median 4.1 x, worst 3.8 x' of runs in pairs."""
    each = [a / b for a, b in zip(ours, peers)]
    return "median %.2f x, worst %.2f x" % (statistics.median(each), min(each))


def conditions():
    with open("/proc/cpuinfo") as f:
        model = [line.split(":")[1].strip() for line in f
                 if line.startswith("model name")]
    return "%d cores (%s), Linux %s" % (
        len(model), model[0] if model else "?", os.uname().release)
