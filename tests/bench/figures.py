# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/performance.md: results of a run as Markdown, put between the page's markers
`<!-- begin figures: NAME -->` and `<!-- end figures -->`."""

import re


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


def machine(results):
    m = results["machine"]
    kind = f"{m['cpu']} (family {m['family']}, model {m['model']}), {m['cores']} cores"
    if m["virtual"]:
        kind += " of a virtual machine"
    if m["l3"]:
        kind += f", {int(m['l3'].rstrip('K')) // 1024} MiB of L3"
    kind += f", {m['memory_gib']} GiB of memory"
    disturbed = (f"{m['n_disturbed']} measurements count although other work of the machine took part in them"
                 if m["n_disturbed"] else "no measurement that counts was disturbed by other work of the machine")
    return (f"- Machine: {kind}; {disturbed} ({m['n_repeated']} were repeated).\n"
            f"- Sluice {m['sluice']} beside {m['stock']}, {results['threads']} threads each.")


def speed(results):
    rows = []
    for row in results["models"]:
        for what, n in (("prefill", row["n_prompt"]), ("decode", row["n_decode"])):
            r = row[what]
            rows.append([title(row), f"{what} {n}", f"**{r['ratio']:.2f}**",
                         f"{r['ratio_low']:.2f} .. {r['ratio_high']:.2f}", f"{r['best_ratio']:.2f}",
                         f"{len(r['sluice'])}", number(r["sluice_tps"]), number(r["stock_tps"])])
    return table(["Model", "Tokens", "Sluice / stock", "middle half", "best / best", "pairs", "Sluice, tokens/s",
                  "stock, tokens/s"], rows)


def limits(results):
    found = results["limits"]
    rows = []
    for row, read in zip(results["models"], found["read"][1:]):
        for what in ("prefill", "decode"):
            r = row[what]
            if what == "decode":
                need = f"{row['bytes'] / 1e6:,.1f} MB read at {read['bytes_per_s'] / 1e9:.0f} GB/s"
            else:
                rate = found["i8_mac_per_s" if row["format"] == "Q8_0" else "f32_fma_per_s"]
                need = f"{row['prefill_macs'] / 1e6:,.1f} M multiply-adds at {rate / 1e9:,.0f} G/s"
            rows.append([f"{title(row)} {what}", need, number(r["limit_tps"]), f"{r['share_of_limit']:.0%}",
                         f"{r['stock_share']:.0%}"])
    threads = results["threads"]
    return (f"{threads} threads read and add up {found['read'][0]['bytes'] / 1e9:.2f} GB of memory at "
            f"{found['read'][0]['bytes_per_s'] / 1e9:.1f} GB/s, do {found['f32_fma_per_s'] / 1e9:,.0f} G multiply-adds "
            f"a second in f32 ({found['f32_isa']}), and {found['i8_mac_per_s'] / 1e9:,.0f} G in 8-bit dot products "
            f"({found['i8_isa']}).\n\n"
            + table(["", "A token takes", "limit, tokens/s", "Sluice", "stock"], rows))


def one_thread(results):
    """Decoding in GB/s of weights, by one thread and by all."""
    one, every = results["one_thread"], results["models"][-1]
    gb = every["bytes"] / 1e9
    rows = [[who, f"{one[key] * gb:.1f} GB/s", f"{every['decode'][key] * gb:.1f} GB/s",
             f"{every['decode'][key] / one[key]:.2f}"]
            for who, key in (("Sluice", "sluice_tps"), ("stock", "stock_tps"))]
    read = results["limits"]["read"][0]["bytes_per_s"]
    rows.append(["plain sum", f"{one['read'] / 1e9:.1f} GB/s", f"{read / 1e9:.1f} GB/s", f"{read / one['read']:.2f}"])
    return table([f"{title(one)} decode", "1 thread", f"{results['threads']} threads", "factor"], rows)


def kv_study(results):
    study = results["kv_study"]
    rows = [[f"{t['tokens']:,}", f"{t['with_s']:.3g} s", f"{t['without_s']:.3g} s", f"{t['ratio']:.1f}"]
            for t in study["totals"]]
    last = study["totals"][-1]
    return (table(["Tokens generated", "with the cache", "without", "without / with"], rows)
            + f"\n\n**At {last['tokens']:,} tokens the cache is worth a factor of {last['ratio']:.1f}** "
              f"({last['without_s']:.3g} s against {last['with_s']:.3g} s).")


def drift(results):
    study = results["kv_study"]
    return (f"A token takes {study['token_s_at_600'] * 1e6:,.0f} us around step 600 and "
            f"{study['token_s_at_end'] * 1e6:,.0f} us at step {study['totals'][-1]['tokens']:,} (medians of 400 steps, "
            f"window {study['window']}): a factor of {study['end_over_600']:.3f}, the median of {len(study['drifts'])} "
            f"studies ({min(study['drifts']):.3f} .. {max(study['drifts']):.3f}).")


def board(results):
    """The emulated board within the process beside the CPU, and what its queues and memory do."""
    b = results["board"]
    rows = [[f"{title(results['models'][-1])} {what}", f"**{r['ratio']:.2f}**",
             f"{min(r['ratios']):.2f} .. {max(r['ratios']):.2f}", number(r["board_tps"]), number(r["cpu_tps"])]
            for what, r in b["model"].items()]
    s, w = b["submission"], b["streaming"]
    return (table(["", "board / CPU", "pairs", "board, tokens/s", "CPU, tokens/s"], rows)
            + f"\n\nA NOP goes through a queue and back in {s['nop_us']:.2f} us (median; 99% within {s['nop_p99_us']:.2f} us), and "
              f"one queue takes {s['entries_per_s'] / 1e6:.1f} million entries a second. {w['bytes'] / 1e6:.0f} MB of weights get "
              f"from a file into device memory at {w['copy'] / 1e9:.2f} GB/s by COPY and at {w['mapping'] / 1e9:.2f} GB/s through "
              f"the mapping; reading the same file alone runs at {w['file_read'] / 1e9:.2f} GB/s, memcpy at "
              f"{w['memcpy'] / 1e9:.2f} GB/s.")


def guest(results):
    """The board behind the driver of a QEMU guest."""
    g = results["guest"]
    own = [[what, number(g["own_board"][key]), number(g["own_cpu"][key]), number(g["own_board"][key] / g["own_cpu"][key])]
           for what, key in (("prefill 64", "prefill_tps"), ("decode 16", "decode_tps"))]
    return (f"{title(results['models'][-1])}, decode {g['n_tokens']}: {number(g['board_tps'])} tokens/s on the board of the "
            f"guest, {number(g['cpu_tps'])} on this host's CPU, one thread each: **{g['ratio']:.2f}** "
            f"({min(g['ratios']):.2f} .. {max(g['ratios']):.2f}, {len(g['ratios'])} pairs).\n\n"
            + table([g["small_name"], "the guest's board, tokens/s", "the guest's own CPU", "ratio"], own))


def access(results):
    """What each way to a board costs, in a guest, as ratios."""
    found = results["guest"]["access"]
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


FIGURES = {"machine": machine, "speed": speed, "limits": limits, "one-thread": one_thread, "kv-study": kv_study,
           "drift": drift, "board": board, "guest": guest, "access": access}


def make(results):
    return {name: figure(results) for name, figure in FIGURES.items()}


def insert(made, page):
    """Replaces what stands between the markers of each figure; each must be there once."""
    text = page.read_text(encoding="utf-8")
    for name, figure in made.items():
        pattern = re.compile(rf"(<!-- begin figures: {re.escape(name)} -->\n).*?(<!-- end figures -->)", re.S)
        text, n = pattern.subn(lambda m, figure=figure: f"{m[1]}\n{figure}\n\n{m[2]}", text)
        if n != 1:
            raise ValueError(f"{page}: {n} places for the figures {name!r}, expected one")
    page.write_text(text, encoding="utf-8")
