"""Time and faults of a running test build (shared/base/mg_fault.h).

The file is mapped by every process of the stack: 8 bytes of magic, the clock's
offset in microseconds, then 32 slots of name, action, argument, count, hits.
"""
import mmap
import os
import struct
import time

KILL, EIO, ENOSPC, DELAY, LOST = 1, 2, 3, 4, 5
SLOTS = 32
HEAD = struct.Struct("<8sq")
SLOT = struct.Struct("<40siiqqq")


class Faults:
    def __init__(self, directory):
        self.path = os.path.join(directory, "faults")
        size = HEAD.size + SLOTS * SLOT.size
        if not os.path.exists(self.path):
            tmp = self.path + ".tmp"
            with open(tmp, "wb") as f:
                f.write(HEAD.pack(b"MGFAULT1", 0))
                f.write(bytes(size - HEAD.size))
            os.chmod(tmp, 0o666)
            os.rename(tmp, self.path)
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), size)

    def advance(self, seconds):
        """Everybody's clocks go ahead by that much."""
        offset = struct.unpack_from("<q", self.map, 8)[0]
        struct.pack_into("<q", self.map, 8, offset + int(seconds * 1000000))

    def now(self):
        """What the stack's clocks show: seconds since 1970."""
        return time.time() + struct.unpack_from("<q", self.map, 8)[0] / 1e6

    def reset_clock(self):
        """Back to the real time: what timers wait for is then as far away as
        the clocks were ahead. At the end of a stack of one's own."""
        struct.pack_into("<q", self.map, 8, 0)

    def _find(self, name):
        free = None
        for i in range(SLOTS):
            at = HEAD.size + i * SLOT.size
            found = SLOT.unpack_from(self.map, at)[0].rstrip(b"\0")
            if found == name.encode():
                return at
            if not found and free is None:
                free = at
        return free

    def set(self, name, action, argument=0, count=1):
        """At the point "name" in whoever gets there, or "who:name" in processes
        whose title (the last part of argv[0]) has "who" in it: receiver,
        sender, notifier, keeper, auth, mailboxd, apache2, lmtp, mailgunctl."""
        at = self._find(name)
        # count last: the slot is live from then on
        SLOT.pack_into(self.map, at, name.encode(), action, 0, argument, 0, 0)
        SLOT.pack_into(self.map, at, name.encode(), action, 0, argument,
                       count, 0)

    def clear(self, name=None):
        for i in range(SLOTS):
            at = HEAD.size + i * SLOT.size
            found = SLOT.unpack_from(self.map, at)[0].rstrip(b"\0")
            if name is None or found == name.encode():
                SLOT.pack_into(self.map, at, b"", 0, 0, 0, 0, 0)

    def hits(self, name):
        return SLOT.unpack_from(self.map, self._find(name))[5]
