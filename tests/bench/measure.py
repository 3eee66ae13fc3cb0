# SPDX-License-Identifier: Apache-2.0
"""What every part of `make bench` measures with: peers that keep a model loaded and take turns,
a watch for other work of the machine, and what the machine can do at most."""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import threading
import time
from pathlib import Path

OWN = "sluice"
TURN_LIMIT = 200  # seconds that one measurement may take
# Seconds after a peer's turn: its threads go on polling for work for a while. Ours sleep at once, and
# those of OpenMP, which ik_llama.cpp has, soon.
PAUSE = {OWN: 0, "sluice_fast": 0, "sluice_huge": 0, "sum": 0, "ik": 0.1, "ik_repacked": 0.1}
LONGEST_PAUSE = 0.6
STOCK = Path("e2e", "peer", "node_modules", "@node-llama-cpp", "linux-x64")


class Failure(Exception):
    """Ends the run with a message."""


class Progress:
    """What runs, how much is left. Work is counted in seconds that it took on a quiet machine."""

    def __init__(self, steps):
        self.left, self.started = list(steps), time.monotonic()
        self.all = sum(cost for _, cost in steps)

    def begin(self, name):
        """The first of the steps that are left begins."""
        todo = sum(cost for _, cost in self.left)
        done = self.all - todo
        eta = todo * ((time.monotonic() - self.started) / done if done else 1)
        print(f"bench: {name} ({len(self.left)} left, about {eta:.0f} s)", flush=True)
        assert self.left[0][0] == name
        del self.left[0]


class Quiet:
    """Repeats what other work of the machine disturbed, while patience lasts: threads that spin for each
    other, as stock llama.cpp's do, lose most of their speed to a third that wants to run."""

    HZ = os.sysconf("SC_CLK_TCK")

    def __init__(self, patience):
        self.end = None if patience else 0.0
        self.patience, self.n_repeated, self.n_disturbed = patience, 0, 0

    @staticmethod
    def busy():
        """CPU seconds that anything on the machine, or its host, has used."""
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / Quiet.HZ

    @staticmethod
    def used(pid):
        fields = Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / Quiet.HZ

    @staticmethod
    def children():
        """CPU seconds of programs that have ended."""
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    def run(self, work, own):
        """work()'s result; own() are the CPU seconds that count as its own."""
        while True:
            busy, mine, start = self.busy(), own(), time.monotonic()
            result = work()
            seconds = time.monotonic() - start
            others = (self.busy() - busy) - (own() - mine)
            # Both clocks tick; two ticks may be the ticking.
            if others <= 2 / self.HZ + 0.03 * seconds:
                return result
            if self.end is None:
                self.end = time.monotonic() + self.patience
            if time.monotonic() > self.end:
                self.n_disturbed += 1
                return result
            self.n_repeated += 1
            time.sleep(min(1.0, seconds))


def output(*command):
    """Standard output of a program that must succeed."""
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=1800)
    if done.returncode != 0:
        raise Failure(f"{Path(command[0]).name} {command[1]}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Side:
    """A peer that waits with its model loaded; each line sent to it is one measurement."""

    longest_pause = LONGEST_PAUSE

    def __init__(self, *command, name=None, limit=TURN_LIMIT):
        self.name = name or Path(command[0]).name
        self.limit, self.before = limit, []
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        while (line := self.line().strip("\r\n")) != "ready":
            if not line:
                raise self.failure()
            self.before.append(line)
        self.limit = TURN_LIMIT

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        timer = threading.Timer(self.limit, self.process.kill)
        timer.start()
        try:
            return self.process.stdout.readline()
        finally:
            timer.cancel()

    def failure(self):
        self.process.kill()
        errors = self.process.communicate()[1].strip()
        return Failure(f"{self.name}: no answer within {self.limit} s, or: {errors or 'no message'}")

    def turn(self, what=""):
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failure() from None
        line = self.line()
        if not line:
            raise self.failure()
        time.sleep(min(self.longest_pause, PAUSE.get(self.name, self.longest_pause)))
        return json.loads(line)


class Bench:
    """A run: what was built, who takes part, how it is watched, and where models are kept."""

    def __init__(self, build, out, small, ik_peer=None, ik_builds=None):
        self.build, self.out, self.small, self.ik_peer = build, out, small, ik_peer
        self.ik_builds = ik_builds or {}  # {ISA: folder of libraries built for it}
        self.threads = 1 if small else 2  # one does not care what else the machine does
        self.quiet = Quiet(0)
        self.progress = self.about = None
        if small:
            Side.longest_pause = 0.02  # one thread polls for nothing

    def program(self, name):
        return self.build / "bin" / name

    def sluice(self, *command):
        """What `sluice COMMAND --json` prints."""
        return json.loads(output(self.program("sluice"), *command, "--json"))

    def peers(self, *command):
        """{name: command line} of all who can take part."""
        found = {OWN: [self.program("sluice-peer"), *command],
                 "stock": [self.program("llama-peer"), self.build / STOCK / "bins" / "linux-x64", *command]}
        if self.ik_peer:
            found |= {"ik": [self.ik_peer, *command], "ik_repacked": [self.ik_peer, "--repack", *command]}
        return found

    def peers_with(self, isa, kernels, *command):
        """The same with an instruction set that is not this processor's best; `kernels`: stock's name for its own."""
        found = {OWN: ["env", f"SLUICE_ISA={isa}", self.program("sluice-peer"), *command],
                 "stock": [self.program("llama-peer"), self.stock_with(kernels), *command]}
        if self.ik_peer and isa in self.ik_builds:
            at = self.ik_builds[isa]
            libraries = f"LD_LIBRARY_PATH={at / 'src'}:{at / 'ggml' / 'src'}"
            found |= {"ik": ["env", libraries, self.ik_peer, *command],
                      "ik_repacked": ["env", libraries, self.ik_peer, "--repack", *command]}
        return found

    def stock_with(self, kernels):
        """A folder with stock's libraries, and of those of which it would choose the best this one alone."""
        folder = self.out / f"stock-{kernels}"
        folder.mkdir(exist_ok=True)
        for library in (self.build / STOCK / "bins" / "linux-x64").glob("*.so*"):
            link = folder / library.name
            if not link.exists() and (not library.name.startswith("libggml-cpu-")
                                      or library.name == f"libggml-cpu-{kernels}.so"):
                link.symlink_to(library.resolve())
        return folder

    def model(self, kind, preset="1b"):
        """The synthetic model in a format or mix, made once and kept."""
        plain = self.kept(f"{preset}-f16.gguf", "synth", "--preset", preset, "--type", "F16", "-o", None)
        return plain if kind == "F16" else self.kept(f"{preset}-{kind.lower()}.gguf", "quantize", plain, None, kind)

    def tales(self, kind):
        plain = Path(__file__).resolve().parent.parent.parent / "models" / "tales-7m-f16.gguf"
        return plain if kind == "F16" else self.kept(f"tales-7m-{kind.lower()}.gguf", "quantize", plain, None, kind)

    def kept(self, file, *command):
        path = self.out / file
        if not path.exists():
            print(f"bench: making {file}", flush=True)
            output(self.program("sluice"), *[path if c is None else c for c in command])
        return path

    def take_turns(self, peers, plan, absent=None):
        """{what: {name: [samples]}} of a plan [(what, rounds)]; everybody begins in turn. One round before warms up:
        after it the weights are where they are used. `absent`: {what: names that take no part in it}."""
        found = {}
        with contextlib.ExitStack() as stack:
            sides = [stack.enter_context(Side(*command, name=name)) for name, command in peers.items()]

            def own():
                return sum(self.quiet.used(side.process.pid) for side in sides)

            def each(what, first):
                return {side.name: side.turn(what) for side in sides[first:] + sides[:first]
                        if side.name not in (absent or {}).get(what, ())}

            each(plan[0][0], 0)
            for what, rounds in plan:
                samples = [self.quiet.run(lambda first=n % len(sides): each(what, first), own)  # noqa: B023
                           for n in range(rounds)]
                found[what] = {side.name: [s[side.name] for s in samples] for side in sides if side.name in samples[0]}
        return found

    def limits(self, *sizes, threads=None):
        """What machine-limits says; buffers of these sizes are read."""
        command = (self.program("machine-limits"), threads or self.threads, *sizes)
        return json.loads(self.quiet.run(lambda: output(*command), self.quiet.children))


def compare(samples):
    """Of {name: [rates]}: medians, and how much faster ours is than each other, by the ratios of rounds."""
    ratios = {}
    for name, rates in samples.items():
        if name.startswith(OWN) or name == "sum":
            continue
        each = [a / b for a, b in zip(samples[OWN], rates)]
        low, _, high = statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
        ratios[name] = {"median": statistics.median(each), "low": low, "high": high,
                        "best": max(samples[OWN]) / max(rates)}
    return {"samples": samples, "tps": {name: statistics.median(rates) for name, rates in samples.items()},
            "ratio": ratios}


def middle(samples):
    """Several outputs of machine-limits, spread over a run, as one of medians."""
    def median(of):
        return statistics.median(of(s) for s in samples)
    read = [{"bytes": r["bytes"], "bytes_per_s": median(lambda s, i=i: s["read"][i]["bytes_per_s"])}
            for i, r in enumerate(samples[0]["read"])]
    return {**samples[0], "read": read, **{key: median(lambda s, key=key: s[key])
                                           for key in ("f32_fma_per_s", "i8_mac_per_s")}}


def weights(bench, path):
    """What one token needs of a model: bytes of tensors read, multiply-adds with matrices."""
    shown = bench.sluice("inspect", path)
    names = {t["name"] for t in shown["tensors"]}
    # A tied table is read as the output matrix; one of its own gives a row a token.
    used = [t for t in shown["tensors"] if t["name"] != "token_embd.weight" or "output.weight" not in names]
    matrices = [t["shape"][0] * t["shape"][1] for t in used if len(t["shape"]) == 2]
    head = next(t for t in used if t["name"] in ("output.weight", "token_embd.weight"))
    return {"bytes": sum(t["bytes"] for t in used), "decode_macs": sum(matrices),
            "prefill_macs": sum(matrices) - head["shape"][0] * head["shape"][1]}
