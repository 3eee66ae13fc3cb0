# SPDX-License-Identifier: Apache-2.0
"""What the suites that boot guests share: making an initramfs, reporting results, judging a kernel's
log."""

import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))

# What a healthy kernel does not say.
BAD_LOG = re.compile(
    r"\bBUG\b|\bOops|WARNING|Call [Tt]race|general protection|[Uu]nable to handle|Kernel panic|"
    r"nobody cared|INFO: task|Bad page|bad page|refcount_t|Redzone|Poison overwritten|"
    r"still in use|\bleak(?! detector)|conflicting memory types|invalid memtype|non-existent|double free|"
    r"\bstall(?! warnings timeout)|deadlock|taint (?!for)|x86/PAT: .*:\d+ |Internal error|SError")


# What a healthy kernel says with a trace behind it: that an allocation failed which was made to, and that
# memory is mapped for DMA more often at a time than the kernel's debugging counts.
EXCUSES = re.compile(r"vmalloc error: size|page allocation failure|DMA-API: exceeded 7 overlapping mappings")
EXCUSED = re.compile(r"Call [Tt]race|WARNING: .* at kernel/dma/debug\.c")


def bad_lines(console):
    """Lines of a kernel's log, in that file, which a healthy kernel does not say."""
    bad, excused = [], False
    with open(console, encoding="utf-8", errors="replace") as log:
        for line in log.read().splitlines():
            if EXCUSES.search(line):
                excused = True
            elif excused and EXCUSED.search(line):
                excused = not re.search("Call [Tt]race", line)
            elif BAD_LOG.search(line):
                bad.append(line)
    return bad


def cpio_entry(number, name, mode, data=b"", rdev=(0, 0)):
    """One record of the newc format, which is what the kernel unpacks."""
    name = name.encode() + b"\0"
    head = "070701" + "".join("%08X" % field for field in (
        number, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name), 0))
    record = head.encode() + name
    record += b"\0" * (-len(record) % 4) + data
    return record + b"\0" * (-len(record) % 4)


def shared_libraries(*programs):
    """What the dynamic linker would load for them, by path."""
    found = set()
    for program in programs:
        text = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        found.update(re.findall(r"(/\S+) \(0x", text))
    return sorted(found)


class Initramfs:
    """A system that begins with the script `init`: busybox, guest.sh, the driver, and what is added."""

    def __init__(self, init, module, busybox="/bin/busybox"):
        self.records, self.directories = [], set()
        for name in ("proc", "sys", "dev", "tmp"):
            self.directory(name)
        self._add("dev/console", 0o020600, rdev=(5, 1))
        self.file("bin/busybox", busybox)
        self._add("bin/sh", 0o120777, b"busybox")
        self.file("guest.sh", os.path.join(HERE, "guest.sh"), 0o644)
        self.text("init", init, 0o755)
        self.file("sluice.ko", module, 0o644)

    def _add(self, name, mode, data=b"", rdev=(0, 0)):
        parent = os.path.dirname(name)
        if parent and parent not in self.directories:
            self.directory(parent)
        self.records.append(cpio_entry(len(self.records) + 1, name, mode, data, rdev))

    def directory(self, name):
        self.directories.add(name)
        self._add(name, 0o040755)

    def text(self, name, text, mode=0o644):
        self._add(name, 0o100000 | mode, text.encode())

    def file(self, name, path, mode=0o755):
        with open(path, "rb") as source:
            self._add(name, 0o100000 | mode, source.read())

    def programs(self, *paths):
        """Programs of this machine, into /bin, with the libraries that they need."""
        for path in paths:
            self.file("bin/" + os.path.basename(path), path)
        for library in shared_libraries(*paths):
            self.file(library.lstrip("/"), library)

    def modules(self, folder, names):
        """Adds kernel modules of that folder and what they depend on; the commands that load them. None
        without the folder: that kernel has them built in."""
        if folder is None:
            return ""
        with open(os.path.join(folder, "order"), encoding="utf-8") as listed:
            order = listed.read().split()
        wanted, open_names = set(), [name.replace("-", "_") for name in names]
        while open_names:
            name = open_names.pop()
            wanted.add(name)
            depends = subprocess.run(["modinfo", "-F", "depends", os.path.join(folder, name + ".ko")], check=True,
                                     capture_output=True, text=True).stdout
            open_names += [d.replace("-", "_") for d in depends.strip().split(",") if d]
        for name in sorted(wanted):
            self.file("lib/modules/" + name + ".ko", os.path.join(folder, name + ".ko"), 0o644)
        return "".join("insmod /lib/modules/%s.ko\n" % name for name in order if name in wanted)

    def write(self, folder):
        """Into that folder; the path."""
        path = os.path.join(folder, "initramfs")
        with open(path, "wb") as out:
            out.write(b"".join(self.records) + cpio_entry(0, "TRAILER!!!", 0))
        return path


class Results:
    """Prints `ok NAME` or `not ok NAME: why` for every check; a check that did not run has failed."""

    def __init__(self, expected):
        self.waiting, self.passed, self.failed = list(expected), 0, 0

    def report(self, name, why=None):
        if why is None:
            print("ok " + name, flush=True)
            self.passed += 1
        else:
            print("not ok %s: %s" % (name, why), flush=True)
            self.failed += 1
        if name in self.waiting:
            self.waiting.remove(name)

    def take(self, line):
        """A line that a guest has printed."""
        match = re.fullmatch(r"(ok|not ok) (\w+)(?:: (.*))?", line)
        if not match:
            print("# " + line, flush=True)
            return
        known = match.group(2) in self.waiting
        if match.group(1) == "ok":
            self.report(match.group(2), None if known else "ran twice, or nobody expects it")
        else:
            self.report(match.group(2), match.group(3) or "failed")

    def end(self):
        """Prints the sum; the exit status."""
        for name in list(self.waiting):
            self.report(name, "did not run")
        print("%d passed, %d failed" % (self.passed, self.failed))
        return 0 if self.failed == 0 and self.passed > 0 else 1
