# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/performance.md: results of a run as Markdown, put between the page's markers
`<!-- begin figures: NAME -->` and `<!-- end figures -->`."""

import re
import statistics

TITLES = {"sluice": "Sluice", "sluice_fast": "Sluice, fast", "sluice_huge": "Sluice, huge pages", "sluice run": "`sluice run`",
          "stock": "stock", "ik": "ik", "ik_repacked": "ik, repacked"}


def number(value):
    """Three digits that count, and thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2f}"


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def title(row):
    return f"{row['name']} {row['format']}"


def ordered(names):
    """Columns of peers, always in the same order."""
    return [name for name in TITLES if name in names]


def kind_of(m):
    """What the machine is, without its name."""
    kind = f"{m['cpu']} (family {m['family']}, model {m['model']}), {m['cores']} cores"
    if m["virtual"]:
        kind += " of a virtual machine"
    if m["l3"]:
        kind += f", {int(m['l3'].rstrip('K')) // 1024} MiB of L3"
    return kind + f", {m['memory_gib']} GiB of memory"


def machine(results):
    m, parts = results["machine"], results["parts"].values()
    n_disturbed, n_repeated = (sum(part[key] for part in parts) for key in ("n_disturbed", "n_repeated"))
    disturbed = (f"{n_disturbed} measurements count although other work of the machine took part in them"
                 if n_disturbed else "no measurement that counts was disturbed by other work of the machine")
    beside = m["stock"] + (f" (\"stock\") and {m['ik']} (\"ik\")" if "ik" in m else "")
    return (f"- Machine: {kind_of(m)}; {disturbed} ({n_repeated} were repeated).\n"
            f"- Sluice {m['sluice']} beside {beside}.")


def compute_bound(kind):
    """What bounds a prompt with weights of a format: its name in the machine's limits, and how to call it."""
    return ("f32_fma_per_s", "f32") if kind == "F16" else ("i8_mac_per_s", "8-bit")


def speed(part):
    rows = []
    for row in part["models"]:
        for what, n in (("prefill", row["n_prompt"]), ("decode", row["n_decode"])):
            r, tps = row[what]["ratio"]["stock"], row[what]["tps"]
            rows.append([title(row), f"{what} {n}", f"**{r['median']:.2f}**", f"{r['low']:.2f} .. {r['high']:.2f}",
                         f"{r['best']:.2f}", f"{row['pairs']}", number(tps["sluice"]), number(tps["stock"])])
    return table(["Model", "Tokens", "Sluice / stock", "middle half", "best / best", "pairs", "Sluice, tokens/s",
                  "stock, tokens/s"], rows)


def limits(part):
    found = part["limits"]
    rows = []
    for row, read in zip(part["models"], found["read"][1:]):
        for what in ("prefill", "decode"):
            r = row[what]
            if what == "decode":
                need = f"{row['bytes'] / 1e6:,.1f} MB read at {read['bytes_per_s'] / 1e9:.0f} GB/s"
            else:
                rate = found[compute_bound(row["format"])[0]]
                need = f"{row['prefill_macs'] / 1e6:,.1f} M multiply-adds at {rate / 1e9:,.0f} G/s"
            rows.append([f"{title(row)} {what}", need, number(r["limit_tps"]), f"{r['share']['sluice']:.0%}",
                         f"{r['share']['stock']:.0%}"])
    return (f"{part['threads']} threads read and add up {found['read'][0]['bytes'] / 1e9:.2f} GB of memory at "
            f"{found['read'][0]['bytes_per_s'] / 1e9:.1f} GB/s, do {found['f32_fma_per_s'] / 1e9:,.0f} G multiply-adds "
            f"a second in f32 ({found['f32_isa']}), and {found['i8_mac_per_s'] / 1e9:,.0f} G in 8-bit dot products "
            f"({found['i8_isa']}).\n\n"
            + table(["", "A token takes", "limit, tokens/s", "Sluice", "stock"], rows))


def one_thread(part):
    """Decoding in GB/s of weights, by one thread and by all."""
    one, every = part["one_thread"], part["models"][-1]
    gb = every["bytes"] / 1e9
    rows = [[TITLES[who], f"{one['tps'][who] * gb:.1f} GB/s", f"{every['decode']['tps'][who] * gb:.1f} GB/s",
             f"{every['decode']['tps'][who] / one['tps'][who]:.2f}"] for who in ("sluice", "stock")]
    read = part["limits"]["read"][0]["bytes_per_s"]
    rows.append(["plain sum", f"{one['read'] / 1e9:.1f} GB/s", f"{read / 1e9:.1f} GB/s", f"{read / one['read']:.2f}"])
    return table([f"{title(one)} decode", "1 thread", f"{part['threads']} threads", "factor"], rows)


def ratio_columns(peers):
    return [f"Sluice / {TITLES[name]}" for name in peers]


def ratio_cells(row, peers):
    """Medians of the ratios of rounds; "-" for who took no part."""
    return [f"**{row['ratio'][name]['median']:.2f}**" if name in row["ratio"] else "-" for name in peers]


def cells(values, names, show):
    return [show(values[name]) if name in values else "-" for name in names]


def every_format(part, what):
    """A row for each format: what bounds it, how far ahead we are, and everybody's share of the bound."""
    rows = part["rows"]
    names = ordered(rows[0][what]["tps"])
    peers = [name for name in names if not name.startswith("sluice")]
    lines = []
    for row in rows:
        r = row[what]
        rate, unit = compute_bound(row["format"])
        bound = ([f"{row['bytes'] / 1e6:,.0f} MB", f"{row['bytes'] * r['tps']['sum'] / 1e9:.1f} GB/s"] if what == "decode"
                 else [f"{row['limits'][rate] / 1e9:,.0f} G/s, {unit}"])
        lines.append([row["format"], *ratio_cells(r, peers), *cells(r["share"], names, "{:.0%}".format), *bound,
                      *cells(r["tps"], names, number)])
    bounds = ["weights", "plain sum"] if what == "decode" else ["multiply-adds"]
    return table([f"{rows[0]['name']}, {what} {rows[0]['n_' + ('prompt' if what == 'prefill' else what)]}",
                  *ratio_columns(peers), *(f"{TITLES[n]}, of it" for n in names), *bounds,
                  *(f"{TITLES[n]}, tokens/s" for n in names)], lines)


def isa_prefill(part):
    """A row for each format with an instruction set; no bound, for the machine can have better instructions."""
    rows = part["rows"]
    names = ordered(rows[0]["prefill"]["tps"])
    peers = [name for name in names if name != "sluice"]
    return table([f"{rows[0]['name']}, prefill {rows[0]['n_prompt']}", *ratio_columns(peers),
                  *(f"{TITLES[n]}, tokens/s" for n in names)],
                 [[row["format"], *ratio_cells(row["prefill"], peers), *cells(row["prefill"]["tps"], names, number)]
                  for row in rows])


def of_isa(isa):
    return {f"{isa}-machine": lambda part: f"{part['rows'][0]['isa']} on {kind_of(part['machine'])}:",
            f"{isa}-decode": lambda part: every_format(part, "decode"), f"{isa}-prefill": isa_prefill}


def concurrent(part):
    rows = part["rows"]
    names = ordered(rows[0]["tps"])
    peers = [name for name in names if not name.startswith("sluice")]
    return table(["Sequences", *ratio_columns(peers), *(f"{TITLES[n]}, tokens/s in all" for n in names), "of one's"],
                 [[f"{title(row)}, {row['n_sequences']}", *ratio_cells(row, peers), *cells(row["tps"], names, number),
                   f"{row['tps']['sluice'] / first_of(rows, row):.2f}"] for row in rows])


def first_of(rows, row):
    """Our rate with one sequence of that model."""
    return next(r["tps"]["sluice"] for r in rows if r["format"] == row["format"])


def quantize(part):
    seconds = {name: statistics.median(values) for name, values in part["seconds"].items()}
    better, equal, worse = (sum(test(t["sluice"], t["stock"]) for t in part["rmse"]) for test in (
        lambda a, b: a < b, lambda a, b: a == b, lambda a, b: a > b))
    ratios = [t["sluice"] / t["stock"] for t in part["rmse"]]
    return (f"{part['name']} from F16 to {part['mix']}, from the start of the program to its end: {number(seconds['sluice'])} s "
            f"by Sluice and {number(seconds['stock'])} s by stock, **{part['ratio']['stock']['median']:.2f}** times as fast "
            f"({len(part['seconds']['sluice'])} pairs). Of {len(ratios)} matrices {better} have a lower RMSE than in stock's "
            f"file, {equal} the same and {worse} a higher one; ours over stock's is {min(ratios):.3f} .. {max(ratios):.3f}.")


def encoders(part):
    rows = [[row["format"], "yes" if row["importance"] else "no", *ratio_cells(row, ["stock"]),
             *(number(row["tps"][name] / 1e6) for name in ("sluice", "stock")),
             f"{row['sluice_error'] / row['stock_error']:.3f}"] for row in part["encoders"]]
    return table(["One thread", "importance", "Sluice / stock", "Sluice, million values/s", "stock, million values/s",
                  "squared error, Sluice / stock"], rows)


def loading(part):
    rows = []
    for row in part["rows"]:
        for name in ordered(row["seconds"]):
            memory = row["memory"].get(name)
            rows.append([title(row), TITLES[name], f"{statistics.median(row['seconds'][name]):.2f} s",
                         *([f"{memory[key] / 1e6:,.0f} MB" for key in ("Rss", "Pss")] if memory else ["", ""])])
    return table(["Model", "", "start to first token", "resident (RSS)", "what two share halved (PSS)"], rows)


def kv_study(part):
    rows = [[f"{t['tokens']:,}", f"{t['with_s']:.3g} s", f"{t['without_s']:.3g} s", f"{t['ratio']:.1f}"]
            for t in part["totals"]]
    last = part["totals"][-1]
    return (table(["Tokens generated", "with the cache", "without", "without / with"], rows)
            + f"\n\n**At {last['tokens']:,} tokens the cache is worth a factor of {last['ratio']:.1f}** "
              f"({last['without_s']:.3g} s against {last['with_s']:.3g} s).")


def drift(part):
    return (f"A token takes {part['token_s_at_600'] * 1e6:,.0f} us around step 600 and "
            f"{part['token_s_at_end'] * 1e6:,.0f} us at step {part['totals'][-1]['tokens']:,} (medians of 400 steps, "
            f"window {part['window']}): a factor of {part['end_over_600']:.3f}, the median of {len(part['drifts'])} "
            f"studies ({min(part['drifts']):.3f} .. {max(part['drifts']):.3f}).")


def board(part):
    """The emulated board within the process beside the CPU, and what its queues and memory do."""
    rows = [[f"{title(part)} {what}", f"**{r['ratio']:.2f}**",
             f"{min(r['ratios']):.2f} .. {max(r['ratios']):.2f}", number(r["board_tps"]), number(r["cpu_tps"])]
            for what, r in part["model"].items()]
    s, w = part["submission"], part["streaming"]
    return (table(["", "board / CPU", "pairs", "board, tokens/s", "CPU, tokens/s"], rows)
            + f"\n\nA NOP goes through a queue and back in {s['nop_us']:.2f} us (median; 99% within {s['nop_p99_us']:.2f} us), and "
              f"one queue takes {s['entries_per_s'] / 1e6:.1f} million entries a second. {w['bytes'] / 1e6:.0f} MB of weights get "
              f"from a file into device memory at {w['copy'] / 1e9:.2f} GB/s by COPY and at {w['mapping'] / 1e9:.2f} GB/s through "
              f"the mapping; reading the same file alone runs at {w['file_read'] / 1e9:.2f} GB/s, memcpy at "
              f"{w['memcpy'] / 1e9:.2f} GB/s.")


def guest(part):
    """The board behind the driver of a QEMU guest."""
    own = [[what, number(part["own_board"][key]), number(part["own_cpu"][key]),
            number(part["own_board"][key] / part["own_cpu"][key])]
           for what, key in (("prefill 64", "prefill_tps"), ("decode 16", "decode_tps"))]
    return (f"{title(part)}, decode {part['n_tokens']}: {number(part['board_tps'])} tokens/s on the board of the "
            f"guest, {number(part['cpu_tps'])} on this host's CPU, one thread each: **{part['ratio']:.2f}** "
            f"({min(part['ratios']):.2f} .. {max(part['ratios']):.2f}, {len(part['ratios'])} pairs).\n\n"
            + table([part["small_name"], "the guest's board, tokens/s", "the guest's own CPU", "ratio"], own))


def access(part):
    """What each way to a board costs, in a guest, as ratios."""
    found = part["access"]
    reads = found["register_read_ns"]
    ways = list(found["data_ns"][0]["ns"])
    best = min(reads, key=reads.get)
    first = table(["one register read", *reads], [["cost", *(f"{ns / reads[best]:,.1f}" for ns in reads.values())]])
    rows = []
    for row in found["data_ns"]:
        least = min(row["ns"].values())
        size = row["bytes"]
        shown = f"{size} B" if size < 1024 else f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"
        rows.append([shown, *((f"**{row['ns'][way] / least:.2f}**" if row["ns"][way] == least else
                               f"{row['ns'][way] / least:.2f}") for way in ways)])
    return first + "\n\n" + table(["bytes to device memory", *ways], rows)


# Part of the run: its figures.
OF_PART = {
    "speed": {"speed": speed, "limits": limits, "one-thread": one_thread},
    "formats": {"formats-decode": lambda part: every_format(part, "decode"),
                "formats-prefill": lambda part: every_format(part, "prefill")},
    "avx2": of_isa("avx2"),
    "avxvnni": of_isa("avxvnni"),
    "concurrent": {"concurrent": concurrent},
    "quantize": {"quantize": quantize, "encoders": encoders},
    "loading": {"loading": loading},
    "kv-study": {"kv-study": kv_study, "drift": drift},
    "board": {"board": board},
    "guest": {"guest": guest, "access": access},
}


def make(results):
    """{figure: Markdown} of the parts that were measured, and of the machine."""
    found = {"machine": machine(results)}
    for name, part in results["parts"].items():
        if part.get("rows", True):  # else this machine has none of it: what another one found stays
            found |= {figure: show(part) for figure, show in OF_PART[name].items()}
    return found


def insert(made, page):
    """Replaces what stands between the markers of each figure; each must be there once."""
    text = page.read_text(encoding="utf-8")
    for name, figure in made.items():
        pattern = re.compile(rf"(<!-- begin figures: {re.escape(name)} -->\n).*?(<!-- end figures -->)", re.S)
        text, n = pattern.subn(lambda m, figure=figure: f"{m[1]}\n{figure}\n\n{m[2]}", text)
        if n != 1:
            raise ValueError(f"{page}: {n} places for the figures {name!r}, expected one")
    page.write_text(text, encoding="utf-8")
