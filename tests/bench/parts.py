# SPDX-License-Identifier: Apache-2.0
"""The parts of `make bench`. Each says which steps it takes, in seconds of a quiet machine, and returns
what it found; tests/bench/figures.py makes the tables."""

import json
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

from figures import compute_bound
from guest import Guest
from measure import OWN, Failure, Side, compare, middle, output, weights

# With stock's numbers of general.file_type.
FORMATS = {"F16": 1, "Q4_0": 2, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "Q8_0": 7, "Q2_K": 10, "Q3_K_M": 12}
MIX = "Q4_K_M"  # what the quantizers make
COUNTS = (1, 2, 4, 8)  # sequences that decode at once
PROMPT = (1, 50, 300, 200, 120, 7)  # any ids that every model has
PAIR = (OWN, "stock")


def preset(bench):
    return "tiny" if bench.small else "1b"


def name_of(bench):
    return "tiny" if bench.small else "synthetic 1B"


def formats_of(bench):
    return ["F16", "Q4_0", "Q8_0"] if bench.small else list(FORMATS)


def only(peers, names):
    return {name: command for name, command in peers.items() if name in names}


# --- speed: small and large, beside stock and beside what the machine can do -----------------------------

def speed_models(bench):
    """[(name, format, path, n_prompt, n_decode, pairs, expected seconds)]"""
    if bench.small:
        return [("tiny", kind, bench.model(kind, "tiny"), 32, 8, 2, 1) for kind in ("F16", "Q8_0")]
    return [("tales-7m", "F16", bench.tales("F16"), 512, 128, 15, 18),
            ("tales-7m", "Q8_0", bench.tales("Q8_0"), 512, 128, 15, 18),
            ("synthetic 1B", "Q8_0", bench.model("Q8_0"), 512, 48, 5, 50)]


def speed_steps(bench):
    rows = [(f"{name} {kind}, {pairs} pairs of {n_prompt} + {n_decode} tokens", cost)
            for name, kind, _, n_prompt, n_decode, pairs, cost in speed_models(bench)]
    return [*rows, (f"{rows[-1][0].split(',')[0]} with one thread", 18)]


def speed(bench):
    models, steps = speed_models(bench), speed_steps(bench)
    needs = [weights(bench, path) for _, _, path, *_ in models]
    sizes = [1 << (24 if bench.small else 30), *(n["bytes"] for n in needs)]
    samples = [bench.limits(*sizes)]
    rows = []
    for (name, kind, path, n_prompt, n_decode, pairs, _), need, step in zip(models, needs, steps):
        bench.progress.begin(step[0])
        found = bench.take_turns(only(bench.peers("bench", path, n_prompt, n_decode, bench.threads), PAIR),
                                 [("", pairs)])[""]
        rows.append({"name": name, "format": kind, "n_prompt": n_prompt, "n_decode": n_decode, "pairs": pairs, **need,
                     **{what: compare(rates(found, what)) for what in ("prefill", "decode")}})
        samples.append(bench.limits(*sizes))
    limits = middle(samples)
    for row, read in zip(rows, limits["read"][1:]):
        add_shares(row, {"prefill": limits[compute_bound(row["format"])[0]], "decode": read["bytes_per_s"]})
    bench.progress.begin(steps[-1][0])
    return {"threads": bench.threads, "models": rows, "limits": limits, "one_thread": one_thread(bench, models[-1], sizes[0])}


def one_thread(bench, model, memory):
    """Whether one core's kernel or the memory that both share is what holds decoding up."""
    name, kind, path, _, n_decode, *_ = model
    found = bench.take_turns(only(bench.peers("bench", path, 0, n_decode // 2, 1), PAIR), [("decode", 5)])
    return {"name": name, "format": kind, "read": bench.limits(memory, threads=1)["read"][0]["bytes_per_s"],
            **compare(rates(found["decode"], "decode"))}


def rates(found, what):
    return {name: [sample[what + "_tps"] for sample in samples] for name, samples in found.items()}


def add_shares(row, rates_of):
    """What everybody reaches of the most tokens a second that the machine could do."""
    a_token = {"prefill": row["prefill_macs"], "decode": row["bytes"]}
    for what, rate in rates_of.items():
        limit = rate / a_token[what]
        row[what].update(limit_tps=limit, share={name: tps / limit for name, tps in row[what]["tps"].items()})


# --- every format, beside all peers ----------------------------------------------------------------------

def formats_steps(bench):
    return [(f"{name_of(bench)} {kind} beside all peers", (70 if bench.ik_peer else 38) * (2 if kind == "F16" else 1))
            for kind in formats_of(bench)]


def formats(bench):
    n_prompt, n_decode, plan = (32, 8, [("decode", 2), ("prefill", 2)]) if bench.small else (
        512, 32, [("decode", 5), ("prefill", 3)])
    rows = []
    for kind, step in zip(formats_of(bench), formats_steps(bench)):
        path = bench.model(kind, preset(bench))
        bench.progress.begin(step[0])
        need = weights(bench, path)
        limits = bench.limits(need["bytes"])
        command = ("bench", path, n_prompt, n_decode, bench.threads)
        # The other arithmetic is for prompts alone, and the place of the weights matters where they are read often.
        peers = {**bench.peers(*command), "sluice_fast": [bench.program("sluice-peer"), "--fast", *command],
                 "sluice_huge": [bench.program("sluice-peer"), "--huge-pages", *command],
                 # In turns with the others: the read rate of a virtual machine's memory comes and goes.
                 "sum": [bench.program("machine-limits"), "--turns", bench.threads, need["bytes"], n_decode]}
        found = bench.take_turns(peers, plan, {"decode": ["sluice_fast"], "prefill": ["sluice_huge", "sum"]})
        row = {"name": name_of(bench), "format": kind, "n_prompt": n_prompt, "n_decode": n_decode, **need, "limits": limits,
               **{what: compare(rates(found[what], what)) for what, _ in plan}}
        add_shares(row, {"prefill": limits[compute_bound(kind)[0]]})
        row["decode"]["share"] = shares_of(found["decode"], "sum")
        rows.append(row)
    return {"threads": bench.threads, "rows": rows}


def shares_of(found, whole):
    """{name: median over the rounds of its rate over that of `whole`}"""
    decoded = rates(found, "decode")
    return {name: statistics.median(a / b for a, b in zip(each, decoded[whole])) for name, each in decoded.items()}


# --- processors with fewer instructions -------------------------------------------------------------------

# {ISA: (what people call it, what /proc/cpuinfo calls it, stock's kernels for it)}
ISAS = {"avx2": ("AVX2", {"avx2", "fma", "f16c"}, "haswell"),
        "avxvnni": ("AVX-VNNI", {"avx2", "fma", "f16c", "avx_vnni"}, "alderlake")}


def isa_formats(bench, isa):
    """What is measured; nothing where the processor has no such instructions."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)[1].split()
    if not ISAS[isa][1] <= set(flags):
        return []
    return ["Q4_0"] if bench.small else ["Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "Q2_K", "Q3_K_M"]


def isa_steps(bench, isa):
    return [(f"{name_of(bench)} {kind} with {ISAS[isa][0]}", 75 if bench.ik_builds else 35)
            for kind in isa_formats(bench, isa)]


def one_isa(bench, isa):
    n_prompt, n_decode, plan = (32, 8, [("decode", 2), ("prefill", 2)]) if bench.small else (
        512, 32, [("decode", 5), ("prefill", 3)])
    shown, _, kernels = ISAS[isa]
    rows = []
    for kind, step in zip(isa_formats(bench, isa), isa_steps(bench, isa)):
        path = bench.model(kind, preset(bench))
        bench.progress.begin(step[0])
        need = weights(bench, path)
        peers = {**bench.peers_with(isa, kernels, "bench", path, n_prompt, n_decode, bench.threads),
                 "sum": [bench.program("machine-limits"), "--turns", bench.threads, need["bytes"], n_decode]}
        found = bench.take_turns(peers, plan, {"prefill": ["sum"]})
        row = {"isa": shown, "name": name_of(bench), "format": kind, "n_prompt": n_prompt, "n_decode": n_decode, **need,
               **{what: compare(rates(found[what], what)) for what, _ in plan}}
        row["decode"]["share"] = shares_of(found["decode"], "sum")
        rows.append(row)
    return {"machine": bench.about, "rows": rows}


# --- several sequences at once ---------------------------------------------------------------------------

def concurrent_steps(bench):
    return [(f"{name_of(bench)} {kind}, several sequences at once", 60 if bench.ik_peer else 50)
            for kind in concurrent_formats(bench)]


def concurrent_formats(bench):
    return ["Q4_0"] if bench.small else ["Q4_K_M", "Q8_0"]


def concurrent(bench):
    n_context, n_steps, n_rounds = (16, 4, 2) if bench.small else (64, 12, 2 if bench.ik_peer else 3)
    rows = []
    for kind, step in zip(concurrent_formats(bench), concurrent_steps(bench)):
        path = bench.model(kind, preset(bench))
        bench.progress.begin(step[0])
        peers = bench.peers("concurrent", path, n_context, n_steps, bench.threads, max(COUNTS))
        # Of the two ways of ik_llama.cpp the faster one.
        peers = only(peers, (*PAIR, "ik_repacked"))
        found = bench.take_turns(peers, [(str(n), n_rounds) for n in COUNTS])
        rows += [{"name": name_of(bench), "format": kind, "n_sequences": n, **compare(rates(found[str(n)], "decode"))}
                 for n in COUNTS]
    return {"n_context": n_context, "n_steps": n_steps, "rows": rows}


# --- quantizing ------------------------------------------------------------------------------------------

def quantize_steps(bench):
    return [("encoders, a format at a time", 12), (f"quantizing {name_of(bench)} to {MIX}", 100)]


def quantize(bench):
    steps = quantize_steps(bench)
    bench.progress.begin(steps[0][0])
    folder = bench.peers()["stock"][1]
    command = (bench.program("quantize-bench"), folder, *((1, "Q4_0") if bench.small else (7,)))
    encoders = [{key: row[key] for key in ("format", "importance", "sluice_error", "stock_error")}
                | compare({name: row[name] for name in PAIR})
                for row in json.loads(bench.quiet.run(lambda: output(*command), bench.quiet.children))]
    source = bench.model("F16", preset(bench))
    bench.progress.begin(steps[1][0])
    files = {name: bench.out / f"quantized-by-{name}.gguf" for name in PAIR}
    commands = {
        OWN: (bench.program("sluice"), "quantize", source, files[OWN], MIX, "-t", bench.threads),
        "stock": (bench.program("llama-peer"), folder, "quantize", source, files["stock"], FORMATS[MIX], bench.threads)}
    seconds = {name: [] for name in commands}
    for n in range(2):
        for name in list(commands)[::-1 if n % 2 else 1]:
            files[name].unlink(missing_ok=True)
            os.sync()  # what one has written is no business of the next
            seconds[name].append(timed(*commands[name]))
    errors = json.loads(output(bench.program("tensor-errors"), source, *files.values()))
    for file in files.values():
        file.unlink()
    return {"encoders": encoders, "name": name_of(bench), "mix": MIX, "seconds": seconds,
            **compare({name: [1 / s for s in values] for name, values in seconds.items()}),
            "rmse": [{"tensor": t["name"], **dict(zip(files, t["rmse"]))} for t in errors if max(t["rmse"]) > 0]}


def timed(*command):
    """Seconds from the start of a program to its end."""
    start = time.monotonic()
    output(*command)
    return time.monotonic() - start


# --- loading ---------------------------------------------------------------------------------------------

def loading_formats(bench):
    return ["Q4_0"] if bench.small else ["Q4_K_M", "Q8_0"]


def loading_steps(bench):
    return [(f"loading {name_of(bench)} {kind}", 15 if bench.ik_peer else 10) for kind in loading_formats(bench)]


def loading(bench):
    rows = []
    for kind, step in zip(loading_formats(bench), loading_steps(bench)):
        path = bench.model(kind, preset(bench))
        bench.progress.begin(step[0])
        commands = bench.peers("first", path, bench.threads, *PROMPT)
        commands = {"sluice run": [bench.program("sluice"), "run", "-m", path, "-p", "Once", "-n", "1", "-t", bench.threads],
                    **commands}
        seconds = {name: [] for name in commands}
        for n in range(2 if bench.small else 6):
            for name, command in commands.items():
                spent = bench.quiet.run(lambda command=command: timed(*command), bench.quiet.children)
                if n > 0:  # the first one warms up
                    seconds[name].append(spent)
        rows.append({"name": name_of(bench), "format": kind, "file_bytes": path.stat().st_size, "seconds": seconds,
                     "memory": {name: shared_memory(bench, command)
                                for name, command in bench.peers("bench", path, 32, 8, bench.threads).items()}})
    return {"rows": rows}


def shared_memory(bench, command):
    """Of two processes that have computed with the same model: resident bytes of one, and its part of both."""
    processes = []
    try:
        for _ in range(2):
            processes.append(subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                              stderr=subprocess.DEVNULL, text=True))
            processes[-1].stdin.write("\n")
            processes[-1].stdin.flush()
            # "ready", then what was measured.
            if not [processes[-1].stdout.readline() for _ in range(2)][1]:
                raise Failure(f"{command[0]} {command[1]}: ended before it had measured")
        rollup = Path("/proc", str(processes[0].pid), "smaps_rollup").read_text()
        return {key: int(re.search(rf"^{key}:\s+(\d+) kB", rollup, re.M)[1]) * 1024 for key in ("Rss", "Pss")}
    finally:
        for process in processes:
            process.kill()
            process.communicate()


# --- the KV cache, and boards ----------------------------------------------------------------------------

def kv_study(bench):
    bench.progress.begin("KV cache study")
    steps, window = (1000, 64) if bench.small else (10000, 512)
    model = bench.model("F16", "tiny") if bench.small else bench.tales("F16")
    command = (bench.program("sluice"), "bench", "-m", model, "-t", bench.threads, "--kv-study",
               "--steps", steps, "--window", window, "--json")
    # One burst of other work at the wrong moment shifts a study: of several, that with the median drift.
    studies = []
    for i in range(1 if bench.small else 5):
        svg = (*command, "--svg", bench.out / f"kv-study-{i}.svg")
        found = json.loads(bench.quiet.run(lambda svg=svg: output(*svg), bench.quiet.children))
        studies.append((found["end_over_600"], i, found))
    _, chosen, study = sorted(studies)[len(studies) // 2]
    os.replace(bench.out / f"kv-study-{chosen}.svg", bench.out / "kv-study.svg")
    return {**study, "drifts": [drift for drift, *_ in studies]}


def board(bench):
    bench.progress.begin("emulated board")
    n_prompt, n_decode, pairs = (32, 8, 1) if bench.small else (512, 32, 5)
    command = (bench.program("board-bench"), bench.model("Q8_0", preset(bench)), pairs, n_prompt, n_decode, bench.threads)
    return {"name": name_of(bench), "format": "Q8_0",
            **json.loads(bench.quiet.run(lambda: output(*command), bench.quiet.children))}


def guest(bench):
    """The board behind the driver of a guest, and the CPU of this host, one thread each."""
    bench.progress.begin("board of a guest")
    model = bench.model("Q8_0", preset(bench))
    small, n_tokens, bar, pairs = (model, 8, "64M", 1) if bench.small else (bench.tales("Q8_0"), 32, "2G", 5)
    samples = []
    with Guest(bench.build, Side, bench.out, small.name, model.name, n_tokens, bar) as of_guest, \
            Side(*bench.peers("bench", model, 0, n_tokens, 1)[OWN], name=OWN) as cpu:
        def both(order):
            return {side.name: side.turn()["decode_tps"] for side in order}

        def own():
            return sum(bench.quiet.used(pid) for pid in (*of_guest.pids(), cpu.process.pid))

        both((of_guest.side, cpu))
        for pair in range(pairs):
            order = (of_guest.side, cpu) if pair % 2 else (cpu, of_guest.side)
            samples.append(bench.quiet.run(lambda order=order: both(order), own))
    ratios = [s["guest"] / s[OWN] for s in samples]
    own_cpu, own_board = of_guest.small
    return {"name": name_of(bench), "format": "Q8_0", "small_name": f"{'tiny' if bench.small else 'tales-7m'} Q8_0",
            "ratio": statistics.median(ratios), "ratios": ratios, "n_tokens": n_tokens,
            "board_tps": statistics.median(s["guest"] for s in samples),
            "cpu_tps": statistics.median(s[OWN] for s in samples),
            "own_cpu": own_cpu, "own_board": own_board, "access": of_guest.access}


# name: (what it takes, what it does)
PARTS = {
    "speed": (speed_steps, speed),
    "formats": (formats_steps, formats),
    **{isa: (lambda bench, isa=isa: isa_steps(bench, isa), lambda bench, isa=isa: one_isa(bench, isa)) for isa in ISAS},
    "concurrent": (concurrent_steps, concurrent),
    "quantize": (quantize_steps, quantize),
    "loading": (loading_steps, loading),
    "kv-study": (lambda _: [("KV cache study", 36)], kv_study),
    "board": (lambda _: [("emulated board", 40)], board),
    "guest": (lambda _: [("board of a guest", 60)], guest),
}
