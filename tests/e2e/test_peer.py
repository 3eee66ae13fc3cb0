# SPDX-License-Identifier: Apache-2.0
"""Beside stock llama.cpp: the same tokens, the same logits within what its coarser activations cost,
the same bytes from both quantizers, files of ours that it loads, and the comparison of speeds
(tests/bench/run), which must not rot between two uses."""

import array
import json
import os
import random
import re
import struct
import subprocess
import tempfile
import unittest

from programs import BUILD, MODEL, ROOT, fixture, sluice, sluice_json

STOCK = os.path.join(BUILD, "e2e", "peer", "node_modules", "@node-llama-cpp", "linux-x64", "bins", "linux-x64")
OURS, THEIRS = (os.path.join(BUILD, "bin", "sluice-peer"),), (os.path.join(BUILD, "bin", "llama-peer"), STOCK)

# Largest distance of a logit to stock's. It rounds what it multiplies F16 weights with to F16, as it
# does keys and values: 0.007 is the worst that was seen (0.002 with F32 weights, where only the keys
# and values are rounded), on logits that span 20.
F16_LOGITS = 0.02
# Both round activations to 8 bits, each in its own way. Either is up to 0.15 away from the F32 result
# of the same weights, and up to 0.18 from the other.
Q8_0_LOGITS = 0.3
# Where the best two logits are closer than this, either id may win. No F16 choice that was seen
# differs (margins do by 0.006); the Q8_0 choices that differ have margins below 0.015.
F16_TIE, Q8_0_TIE = 0.01, 0.1
# The same for formats that lose more, whose activations are rounded over 256 values.
Q_LOGITS, Q_TIE = 0.6, 0.3


def peer(side, *args, stdin=b""):
    """What llama-peer or sluice-peer prints, a line each."""
    done = subprocess.run([*side, *map(str, args)], input=stdin, capture_output=True, timeout=50)
    if done.returncode != 0:
        raise AssertionError(f"{side[0]} {args[:2]}: status {done.returncode}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def greedy(side, model, n_predict, prompt):
    return peer(side, "greedy", model, n_predict, *prompt)[0]


def worst(a, b):
    return max(abs(x - y) for x, y in zip(a["logits"], b["logits"], strict=True))


def rms(a, b):
    return (sum((x - y) ** 2 for x, y in zip(a["logits"], b["logits"], strict=True)) / len(a["logits"])) ** 0.5


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, *command):
        done = sluice(*command)
        self.assertEqual(done.returncode, 0, done.stderr)

    def tensors(self, path):
        shown = sluice_json("inspect", path, "--json")
        with open(path, "rb") as file:
            data = file.read()[shown["data_offset"]:]
        return {t["name"]: (t["type"], t["shape"], data[t["offset"]:t["offset"] + t["bytes"]]) for t in shown["tensors"]}

    def compare(self, model, prompts, n_predict, logits, tie):
        """Prompt logits within `logits` of stock's; then, both fed with our greedy ids, equal choices but
        for ties. Returns how many were no ties, and how many were."""
        n_equal = n_ties = 0
        for prompt in prompts:
            with self.subTest(model=os.path.basename(model), prompt=prompt):
                ours = greedy(OURS, model, n_predict, prompt)
                theirs = peer(THEIRS, "follow", model, n_predict, *prompt, *ours["ids"])[0]
                self.assertLess(worst(ours, theirs), logits)
                self.assertEqual((len(ours["ids"]), len(theirs["ids"])), (n_predict, n_predict))
                for i, margins in enumerate(zip(ours["margins"], theirs["margins"])):
                    if min(margins) < tie:
                        n_ties += 1
                        continue
                    self.assertEqual(ours["ids"][i], theirs["ids"][i], f"token {i}, margins {margins}")
                    n_equal += 1
        return n_equal, n_ties


class Tokens(Folder):
    def prompts(self):
        return [case["prompt_ids"] for case in fixture("tales-7m-f16.json")["greedy"]]

    def test_f16_alone(self):
        """Each side feeds itself, until the first tie."""
        n_equal = 0
        for prompt in self.prompts():
            ours, theirs = (greedy(side, MODEL, 48, prompt) for side in (OURS, THEIRS))
            self.assertLess(worst(ours, theirs), F16_LOGITS)
            margins = [*map(min, ours["margins"], theirs["margins"]), 0]
            n = next(i for i, margin in enumerate(margins) if margin < F16_TIE)
            self.assertEqual(ours["ids"][:n], theirs["ids"][:n])
            n_equal += n
        self.assertGreater(n_equal, 250)  # of 384

    def test_f16(self):
        n_equal, n_ties = self.compare(MODEL, self.prompts(), 48, F16_LOGITS, F16_TIE)
        self.assertGreater(n_equal, 20 * n_ties)

    def test_q8_0_of_ours(self):
        q8 = self.path("q8.gguf")
        self.make("quantize", MODEL, q8, "Q8_0")
        n_equal, n_ties = self.compare(q8, self.prompts(), 48, Q8_0_LOGITS, Q8_0_TIE)
        self.assertGreater(n_equal, n_ties)

    def test_q8_0_is_as_close_to_exact_as_stock(self):
        """The F32 file of the very values that the Q8_0 file holds says what is exact."""
        q8, f32 = self.path("q8.gguf"), self.path("f32.gguf")
        self.make("quantize", MODEL, q8, "Q8_0")
        self.make("quantize", q8, f32, "F32")
        ours = theirs = 0
        for prompt in self.prompts():
            exact = greedy(OURS, f32, 1, prompt)
            self.assertLess(worst(exact, greedy(THEIRS, f32, 1, prompt)), F16_LOGITS / 2)
            ours += rms(exact, greedy(OURS, q8, 1, prompt))
            theirs += rms(exact, greedy(THEIRS, q8, 1, prompt))
        self.assertGreater(ours, 0)
        self.assertLess(ours, 1.5 * theirs)

    def test_synthetic_files(self):
        for kind, logits, tie in (("F16", F16_LOGITS, F16_TIE), ("Q8_0", Q8_0_LOGITS, Q8_0_TIE)):
            model = self.path(kind)
            self.make("synth", "--preset", "tiny", "--type", kind, "-o", model)
            prompts = [[1, 5, 9, 100], [1, 300, 200, 7, 7, 7, 8], [1] + list(range(30, 120))]
            n_equal, n_ties = self.compare(model, prompts, 48, logits, tie)
            self.assertGreater(n_equal, n_ties, kind)


class Architectures(Folder):
    """Random models of every architecture, with texts beyond the windows of local layers."""

    PROMPTS = [[1, 5, 9, 100], [1] + list(range(30, 120))]

    def synth(self, architecture, kind, rope="none"):
        path = self.path(f"{architecture}-{kind}-{rope}")
        self.make("synth", "--preset", "tiny", "--arch", architecture, "--type", kind, "--rope", rope, "-o", path)
        return path

    def patched(self, path, key, form, value):
        """A copy with another number behind the key."""
        with open(path, "rb") as file:
            data = bytearray(file.read())
        at = data.index(key.encode()) + len(key) + 4  # the value's type
        struct.pack_into("<" + form, data, at, value)
        copy = self.path(f"{os.path.basename(path)}-{key}-{value}")
        with open(copy, "wb") as file:
            file.write(data)
        return copy

    def check(self, architecture):
        n_equal, n_ties = self.compare(self.synth(architecture, "F16"), self.PROMPTS, 24, F16_LOGITS / 2, F16_TIE)
        self.assertGreater(n_equal, 4 * n_ties)
        n_equal, n_ties = self.compare(self.synth(architecture, "Q8_0"), self.PROMPTS, 24, Q8_0_LOGITS / 2, Q8_0_TIE)
        self.assertGreater(n_equal, n_ties)

    def test_qwen2(self):
        self.check("qwen2")

    def test_qwen3(self):
        self.check("qwen3")

    def test_phi3(self):
        self.check("phi3")

    def test_gemma(self):
        self.check("gemma")

    def test_gemma2(self):
        self.check("gemma2")

    def test_gemma3(self):
        self.check("gemma3")

    def test_scaled_positions(self):
        for architecture, rope in (("llama", "linear"), ("llama", "yarn"), ("qwen3", "yarn"), ("gemma3", "linear"),
                                   ("phi3", "longrope"), ("llama", "longrope")):
            model = self.synth(architecture, "F16", rope)
            if rope == "longrope":
                # Stock rounds the room for a text up to 256 tokens. So: too little for any text, and
                # enough for all.
                key = f"{architecture}.rope.scaling.original_context_length"
                models = [self.patched(model, key, "I", original) for original in (16, 1024)]
            else:
                models = [model]
            for model in models:
                n_equal, n_ties = self.compare(model, self.PROMPTS, 24, F16_LOGITS / 2, F16_TIE)
                self.assertGreater(n_equal, 4 * n_ties, model)

    def test_what_makes_a_difference(self):
        """The comparisons above would see it if one of these were left out."""
        cases = [("gemma2", "none", "attention.sliding_window", "I", 0), ("gemma3", "none", "attention.sliding_window", "I", 24),
                 ("gemma2", "none", "attn_logit_softcapping", "f", 50), ("gemma2", "none", "final_logit_softcapping", "f", 30),
                 ("phi3", "longrope", "rope.scaling.attn_factor", "f", 1), ("llama", "yarn", "rope.scaling.factor", "f", 3),
                 ("phi3", "longrope", "rope.scaling.original_context_length", "I", 1024)]
        for architecture, rope, key, form, value in cases:
            with self.subTest(architecture=architecture, key=key):
                model = self.synth(architecture, "F16", rope)
                other = self.patched(model, f"{architecture}.{key}", form, value)
                ours, theirs = greedy(OURS, other, 1, self.PROMPTS[1]), greedy(THEIRS, model, 1, self.PROMPTS[1])
                self.assertGreater(worst(ours, theirs), F16_LOGITS)

    def test_mixes(self):
        """The types that stock gives to matrices that llamas do not have, and to tied ones."""
        for architecture, kinds in (("phi3", Mixes.TYPES), ("qwen3", ("Q4_K_M",)), ("gemma2", ("Q3_K_M", "Q8_0"))):
            model = self.synth(architecture, "F32")
            for kind in kinds:
                ours, theirs = self.path("ours.gguf"), self.path("theirs.gguf")
                self.make("quantize", model, ours, kind)
                peer(THEIRS, "quantize", model, theirs, Mixes.TYPES[kind])
                of_ours, of_theirs = ({name: t[:2] for name, t in self.tensors(path).items()} for path in (ours, theirs))
                self.assertEqual(of_ours, of_theirs, f"{architecture} {kind}")


class Quantizer(Folder):
    """The tensor data of both quantizers is the same to the byte."""

    def test_same_bytes(self):
        tiny = self.path("tiny.gguf")
        self.make("synth", "--preset", "tiny", "--type", "F32", "-o", tiny)
        for source in (MODEL, tiny):
            for kind, file_type in (("Q8_0", 7), ("F16", 1), ("BF16", 32), ("F32", 0)):
                ours, theirs = self.path("ours.gguf"), self.path("theirs.gguf")
                self.make("quantize", source, ours, kind)
                peer(THEIRS, "quantize", source, theirs, file_type)
                ours, theirs = self.tensors(ours), self.tensors(theirs)
                self.assertEqual(ours.keys(), theirs.keys())
                self.assertIn(kind, {t[0] for t in theirs.values()})
                for name, (its_type, shape, data) in theirs.items():
                    with self.subTest(source=os.path.basename(source), kind=kind, tensor=name):
                        self.assertEqual(ours[name][:2], (its_type, shape))
                        self.assertTrue(data and ours[name][2] == data, "the data differ")


class Mixes(Folder):
    """Every mix: the tensor types and the file type that stock chooses, no larger errors, and the same
    predictions from stock and us over the same file."""

    # With stock's numbers of general.file_type.
    TYPES = {"Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_0": 2, "Q4_1": 3, "Q4_K_S": 14, "Q4_K_M": 15,
             "Q5_0": 8, "Q5_1": 9, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "Q8_0": 7}
    # Those whose blocks of 32 values both choose alike.
    SAME_CHOICE = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")

    def test_types_and_bytes(self):
        for kind, number in self.TYPES.items():
            ours, theirs = self.path("ours.gguf"), self.path("theirs.gguf")
            self.make("quantize", MODEL, ours, kind)
            peer(THEIRS, "quantize", MODEL, theirs, number)
            of_ours, of_theirs = (sluice_json("inspect", path, "--json")["metadata"] for path in (ours, theirs))
            self.assertEqual(of_ours["general.file_type"], of_theirs["general.file_type"], kind)
            ours, theirs = self.tensors(ours), self.tensors(theirs)
            n_same = 0
            for name, (its_type, shape, data) in theirs.items():
                with self.subTest(kind=kind, tensor=name):
                    self.assertEqual(ours[name][:2], (its_type, shape))
                    if its_type in self.SAME_CHOICE:
                        self.assertTrue(data and ours[name][2] == data, "the data differ")
                        n_same += 1
            self.assertEqual(n_same > 20, kind in self.SAME_CHOICE)

    def values(self, path, names):
        """Values of some tensors, in F32."""
        whole = self.path("f32.gguf")
        self.make("quantize", path, whole, "F32")
        found = {}
        for name, (_, _, data) in self.tensors(whole).items():
            if name in names:
                found[name] = array.array("f")
                found[name].frombytes(data)
        return found

    def test_errors_are_no_larger(self):
        """On every kind of matrix; stock's own files are decoded by us, as the unit tests may."""
        names = {f"blk.{i}.{part}.weight" for i in (0, 3) for part in ("attn_q", "attn_v", "attn_output")}
        names.add("blk.1.ffn_down.weight")
        exact = self.values(MODEL, names)
        for kind in ("Q2_K", "Q3_K_S", "Q4_K_S", "Q5_K_S", "Q6_K"):
            ours, theirs = self.path("ours.gguf"), self.path("theirs.gguf")
            self.make("quantize", MODEL, ours, kind)
            peer(THEIRS, "quantize", MODEL, theirs, self.TYPES[kind])
            ours, theirs = self.values(ours, names), self.values(theirs, names)
            for name in names:
                with self.subTest(kind=kind, tensor=name):
                    a, b = (sum((x - y) ** 2 for x, y in zip(side[name], exact[name])) for side in (ours, theirs))
                    self.assertGreater(a, 0)
                    self.assertLess(a, b)

    def test_predictions_are_those_of_stock(self):
        """Perplexity over files of ours, loaded by both. Of few tokens: over the whole text, which takes longer, both
        are the same within 0.05% (test_table_of_the_docs, and `make check-costs` for the table)."""
        with open(os.path.join(ROOT, "tests", "data", "tales-valid.txt"), "rb") as file:
            text = file.read()
        # K formats are what they are called: no row of this model has to make do with another one.
        rows = {shape[0] for kind, shape, _ in self.tensors(MODEL).values() if kind != "F32"}
        self.assertTrue(rows and all(n % 256 == 0 for n in rows), rows)
        for kind in self.TYPES:
            with self.subTest(kind=kind):
                model = self.path("ours.gguf")
                self.make("quantize", MODEL, model, kind)
                ours, theirs = (peer(side, "perplexity", model, 192, 3, stdin=text)[0] for side in (OURS, THEIRS))
                self.assertEqual(ours["tokens"], theirs["tokens"])
                self.assertLess(abs(ours["perplexity"] / theirs["perplexity"] - 1), 0.015, (ours, theirs))

    def test_the_measure_is_that_of_the_program(self):
        """So that stock's figures and those of `sluice perplexity` stand side by side in the docs."""
        text = self.path("text")
        with open(os.path.join(ROOT, "tests", "data", "tales-valid.txt"), "rb") as file, open(text, "wb") as part:
            part.write(file.read(6000))
        ours = sluice_json("perplexity", "-f", text, "-c", "192", "--json")
        with open(text, "rb") as file:
            found = peer(OURS, "perplexity", MODEL, 192, 0, stdin=file.read())[0]
        self.assertEqual(found["tokens"], ours["tokens"])
        self.assertLess(abs(found["perplexity"] / ours["perplexity"] - 1), 1e-6)

    def test_table_of_the_docs(self):
        """Every mix has a row, whose perplexity is stock's for the same file."""
        with open(os.path.join(ROOT, "docs", "quantization.md"), encoding="utf-8") as file:
            table = re.search(r"<!-- begin figures: costs -->(.*?)<!-- end figures -->", file.read(), re.S)[1]
        rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.strip().splitlines()[2:]]
        self.assertEqual({row[0] for row in rows}, {"F16", "BF16", *self.TYPES})
        for row in rows:
            self.assertLess(abs(float(row[4]) / float(row[6]) - 1), 0.005, row)

    def test_tokens_where_bytes_are_equal(self):
        """Stock goes on with the same tokens from our file and from its own, output and embedding in the format
        of the others."""
        prompt = fixture("tales-7m-f16.json")["greedy"][0]["prompt_ids"]
        for kind, number in ((kind, number) for kind, number in self.TYPES.items() if kind in self.SAME_CHOICE):
            ours, theirs = self.path("ours.gguf"), self.path("theirs.gguf")
            self.make("quantize", MODEL, ours, kind, "--tensor-type", f"^(output|token_embd)[.]={kind}")
            format_id = {"Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8}[kind]
            peer(THEIRS, "quantize", MODEL, theirs, number, 0, format_id)
            self.assertEqual(self.tensors(ours), self.tensors(theirs), kind)
            of_ours, of_theirs = (greedy(THEIRS, path, 48, prompt) for path in (ours, theirs))
            self.assertEqual(of_ours["ids"], of_theirs["ids"])
            self.assertEqual(of_ours["logits"], of_theirs["logits"])

    def test_tokens(self):
        """Greedy tokens over files of ours, but for ties."""
        prompts = [case["prompt_ids"] for case in fixture("tales-7m-f16.json")["greedy"]][:3]
        for kind in ("Q4_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K"):
            model = self.path("ours.gguf")
            self.make("quantize", MODEL, model, kind)
            n_equal, n_ties = self.compare(model, prompts, 32, Q_LOGITS, Q_TIE)
            self.assertGreater(n_equal, n_ties, kind)


class Tokenizer(Folder):
    """Only valid UTF-8: in other bytes stock trusts a lead byte and swallows the letters after it."""

    PARTS = ["the ", "king", "Once", "a", " ", "  ", "\n", "\t", "\r\n", "▁", "é", "e\u0301", "日本", "🙂",
             "👨\u200d👩\u200d👧", "\u200b", "\ufeff", "<s>", "</s>", "<0x41>", "<unk>", "19", ".", "'s", '"', "\x01",
             "\x7f", "\u00a0", "ZZ", "qx", "—", "…", "ﬀ", "Ω", "\U0010ffff", "\u0fff", "עברית", "%", "\ue000"]

    def test_odd_texts(self):
        random_ = random.Random(4)
        texts = ["".join(random_.choices(self.PARTS, k=random_.randint(0, 40))) for _ in range(1000)]
        texts += ["".join(chr(c) for c in random_.choices(range(1, 0xd800), k=random_.randint(1, 12)))
                  for _ in range(500)]
        texts += ["x" * 3000, " " * 700, "\n" * 700, "Once upon a time, " * 200]
        tiny = self.path("tiny.gguf")
        self.make("synth", "--preset", "tiny", "--type", "Q8_0", "-o", tiny)
        stdin = b"".join(text.encode() + b"\0" for text in texts)
        for model in (MODEL, tiny):
            ours, theirs = (peer(side, "tokenize", model, stdin=stdin) for side in (OURS, THEIRS))
            self.assertEqual((len(ours), len(theirs)), (len(texts), len(texts)))
            for text, a, b in zip(texts, ours, theirs):
                with self.subTest(model=os.path.basename(model), text=text):
                    self.assertEqual(a, b)
        self.assertEqual(ours[0], sluice_json("tokenize", "-m", tiny, "--no-bos", "--", texts[0]))


class Speed(Folder):
    PAGES = [os.path.join(ROOT, "docs", "performance.md"), os.path.join(ROOT, "docs", "images", "kv-study.svg")]

    def run_bench(self, *options):
        return subprocess.run([os.path.join(ROOT, "tests", "bench", "run"), BUILD, "--small", "--out", self.path("out"),
                               *options], capture_output=True, text=True, timeout=240)

    def results(self):
        with open(os.path.join(self.path("out"), "results.json"), encoding="utf-8") as file:
            return json.load(file)

    def bench(self, *options):
        """A small run: what was found."""
        done = self.run_bench(*options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return self.results()

    def stand_in(self, refused="-"):
        """A program that takes ik-peer's place, but for one command."""
        path = self.path("ik-peer")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""#!/bin/sh
[ "$1" = --repack ] && shift
[ "$1" = "{refused}" ] && {{ echo "cannot {refused}" >&2; exit 1; }}
exec "{OURS[0]}" "$@"
""")
        os.chmod(path, 0o755)
        return path

    def check_rates(self, row, names):
        self.assertEqual(set(row["samples"]), set(names))
        self.assertEqual({len(samples) for samples in row["samples"].values()}, {len(row["samples"]["stock"])})
        self.assertGreater(min(min(samples) for samples in row["samples"].values()), 0)
        self.assertEqual(set(row["ratio"]), set(names) - {"sluice", "sluice_fast", "sluice_huge", "sum"})
        self.assertGreater(min(ratio["low"] for ratio in row["ratio"].values()), 0)

    def test_small_run(self):
        """What `make bench SMALL=1` does, but for the guest; how fast all are does not matter here."""
        before = [os.stat(page).st_mtime_ns for page in self.PAGES]
        results = self.bench("--only", "speed", "formats", "avx2", "concurrent", "quantize", "loading", "kv-study", "board")
        parts = results["parts"]
        for part, rows in (("speed", "models"), ("formats", "rows")):
            for row in parts[part][rows]:
                more = {"decode": ("sluice_huge", "sum"), "prefill": ("sluice_fast",)} if part == "formats" else {}
                for what in ("decode", "prefill"):
                    self.check_rates(row[what], ("sluice", "stock", *more.get(what, ())))
                self.assertGreater(min([*row["decode"]["share"].values(), *row["prefill"]["share"].values()]), 0)
        self.assertGreater(parts["speed"]["limits"]["f32_fma_per_s"], 0)
        for kind, unit in (("F16", "f32"), ("Q4_0", "8-bit")):
            self.assertRegex(results["figures"]["formats-prefill"], rf"(?m)^\| {kind} \|.* G/s, {unit} \|")
        self.assertEqual([row["isa"] for row in parts["avx2"]["rows"]], ["AVX2"])
        for row in parts["avx2"]["rows"]:
            self.check_rates(row["prefill"], ("sluice", "stock"))
            self.check_rates(row["decode"], ("sluice", "stock", "sum"))
            self.assertGreater(min(row["decode"]["share"].values()), 0)
        self.assertEqual([row["n_sequences"] for row in parts["concurrent"]["rows"]], [1, 2, 4, 8])
        self.check_rates(parts["quantize"], ("sluice", "stock"))
        self.assertGreater(len(parts["quantize"]["rmse"]), 5)
        for tensor in parts["quantize"]["rmse"]:
            self.assertLessEqual(tensor["sluice"], tensor["stock"], tensor)
        for row in parts["quantize"]["encoders"]:
            self.check_rates(row, ("sluice", "stock"))
            self.assertLess(row["sluice_error"], 1.001 * row["stock_error"])
        for row in parts["loading"]["rows"]:
            self.assertEqual(set(row["seconds"]), {"sluice run", "sluice", "stock"})
            for memory in row["memory"].values():
                self.assertGreater(memory["Rss"], memory["Pss"])
        self.assertGreater(min(t["ratio"] for t in parts["kv-study"]["totals"]), 0)
        self.assertGreater(min(min(what["ratios"]) for what in parts["board"]["model"].values()), 0)
        with open(self.PAGES[0], encoding="utf-8") as file:
            in_page = re.findall(r"<!-- begin figures: (.*?) -->", file.read())
        others = ["guest", "access", *(f"avxvnni-{figure}" for figure in ("machine", "decode", "prefill"))]
        self.assertEqual(sorted([*results["figures"], *others]), sorted(in_page))
        self.assertEqual([os.stat(page).st_mtime_ns for page in self.PAGES], before)

    def test_small_run_of_a_guest(self):
        results = self.bench("--only", "guest")
        found = results["parts"]["guest"]
        self.assertGreater(min(found["ratios"] + list(found["own_board"].values())), 0)
        self.assertEqual(set(results["figures"]), {"machine", "guest", "access"})

    def test_another_peer(self):
        """ik_llama.cpp takes part where somebody has it. Here we stand in for it, to see that its columns come
        and stay; and one part alone replaces its own figures."""
        whole = self.bench("--ik-peer", self.stand_in(), "--ik-version", "0.0", "--ik-build", "avx2", self.folder,
                           "--only", "formats", "avx2", "concurrent", "loading")
        four = ("sluice", "stock", "ik", "ik_repacked")
        for row in whole["parts"]["formats"]["rows"]:
            self.check_rates(row["prefill"], (*four, "sluice_fast"))
            self.check_rates(row["decode"], (*four, "sluice_huge", "sum"))
        for row in whole["parts"]["avx2"]["rows"]:
            self.check_rates(row["prefill"], four)
            self.check_rates(row["decode"], (*four, "sum"))
        self.check_rates(whole["parts"]["concurrent"]["rows"][0], ("sluice", "stock", "ik_repacked"))
        for figure in ("formats-decode", "formats-prefill", "avx2-prefill", "concurrent"):
            self.assertIn("Sluice / ik, repacked", whole["figures"][figure])
        self.assertIn("| ik, repacked |", whole["figures"]["loading"])
        again = self.bench("--only", "loading")
        self.assertEqual(set(again["parts"]["loading"]["rows"][0]["seconds"]), {"sluice run", "sluice", "stock"})
        self.assertEqual(again["parts"]["formats"], whole["parts"]["formats"])
        self.assertIn("ik_llama.cpp 0.0", again["figures"]["machine"])

    def test_what_is_measured_is_kept(self):
        """A part that fails costs what it measured, and no other part."""
        done = self.run_bench("--ik-peer", self.stand_in("concurrent"), "--only", "formats", "concurrent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot concurrent", done.stderr)
        self.assertEqual(list(self.results()["parts"]), ["formats"])
        self.assertEqual(set(self.bench("--only", "concurrent")["parts"]), {"formats", "concurrent"})

    def test_a_folder_that_is_none(self):
        done = subprocess.run(["make", "-n", f"O={BUILD}", f"IK={self.folder}", os.path.join(BUILD, "bin", "ik-peer")],
                              cwd=ROOT, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"no {self.folder}/build/src/libllama.so: expected a checkout of ik_llama.cpp", done.stderr)

    def test_results_of_another_machine(self):
        os.mkdir(self.path("out"))
        with open(os.path.join(self.path("out"), "results.json"), "w", encoding="utf-8") as file:
            json.dump({"machine": {"cpu": "abacus"}, "parts": {}}, file)
        done = self.run_bench("--only", "loading")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cpu is abacus, expected", done.stderr)


if __name__ == "__main__":
    unittest.main()
