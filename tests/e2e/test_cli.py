# SPDX-License-Identifier: Apache-2.0
"""The command-line contract of `sluice`: what scripts rely on, golden outputs, and clear errors."""

import json
import os
import re
import subprocess
import tempfile
import unittest

from programs import BUILD, DATA, MODEL, extra_model, fixture, run, sluice, sluice_json

MODELS = {"tales-7m-f16": MODEL, "stories260K-f32": extra_model("stories260K-f32.gguf")}


def present_models():
    return {name: path for name, path in MODELS.items() if path}


class Golden(unittest.TestCase):
    """Against outputs of other implementations."""

    def test_tokenize(self):
        for name, model in present_models().items():
            for case in fixture(name + ".json")["tokenize"]:
                with self.subTest(model=name, text=case["text"]):
                    ids = sluice_json("tokenize", "-m", model, "--no-bos", "--", case["text"])
                    self.assertEqual(ids, case["ids"])
                    if ids:
                        done = sluice("detokenize", "-m", model, *ids)
                        self.assertEqual(done.stdout, case["back"] + "\n")

    def test_greedy(self):
        for name, model in present_models().items():
            for case in fixture(name + ".json")["greedy"]:
                with self.subTest(model=name, prompt=case["prompt"]):
                    out = sluice_json("run", "-m", model, "-p", case["prompt"], "-n", len(case["greedy"]), "--temp", "0",
                                      "--ignore-eos", "--json")
                    self.assertEqual(out["prompt_ids"], case["prompt_ids"])
                    self.assertEqual(out["ids"], case["greedy"])

    def test_perplexity(self):
        golden = fixture("tales-7m-f16.json")["perplexity"]
        out = sluice_json("perplexity", "-m", MODEL, "-f", os.path.join(DATA, golden["file"]), "-c", golden["ctx"], "--json")
        self.assertEqual(out["tokens"], golden["tokens"])
        self.assertLess(abs(out["perplexity"] / golden["value"] - 1), 0.001)


class Run(unittest.TestCase):
    def test_json_has_what_scripts_read(self):
        out = sluice_json("run", "-p", "Once upon a time", "-n", "8", "--temp", "0", "-t", "1", "--json")
        for key in ("prompt_ids", "ids", "text", "prefill_tps", "decode_tps", "isa", "device"):
            self.assertIn(key, out)
        self.assertEqual(len(out["ids"]), 8)
        self.assertEqual(out["text"], " there was a man who had a daughter")
        self.assertEqual((out["device"], out["threads"]), ("cpu", 1))
        self.assertGreater(out["decode_tps"], 0)

    def test_text_streams_prompt_and_story(self):
        done = sluice("run", "-p", "Once upon a time", "-n", "8", "--temp", "0")
        self.assertEqual(done.stdout, "Once upon a time there was a man who had a daughter\n")
        for word in ("Tales 7M", "F16", "kernels:", "prompt:  5 tokens", "decode:  8 tokens", "tokens/s"):
            self.assertIn(word, done.stderr)

    def test_keys_and_values_are_kept_as_asked(self):
        caches = {}
        for kv_type in ("f16", "bf16", "q8_0"):
            done = sluice("run", "-p", "Once upon a time", "-n", "8", "--temp", "0", "--kv-type", kv_type)
            self.assertEqual(done.stdout, "Once upon a time there was a man who had a daughter\n")
            caches[kv_type] = re.search(r"cache: +\d+ tokens, (\w+), (.+)", done.stderr)
            self.assertEqual(caches[kv_type][1], kv_type)
        self.assertEqual(caches["bf16"][2], caches["f16"][2])
        self.assertNotEqual(caches["q8_0"][2], caches["f16"][2])
        done = sluice("run", "-p", "x", "--kv-type", "q4_0")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--kv-type: q4_0 not in {f16,bf16,q8_0}", done.stderr)

    def test_weights_may_be_in_huge_pages(self):
        done = sluice("run", "-p", "Once upon a time", "-n", "8", "--temp", "0", "--huge-pages")
        self.assertEqual(done.stdout, "Once upon a time there was a man who had a daughter\n")

    def test_fast_arithmetic_costs_next_to_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            quantized = os.path.join(folder, "q8.gguf")
            self.assertEqual(sluice("quantize", str(MODEL), quantized, "Q8_0").returncode, 0)
            for model in (quantized, str(MODEL)):
                found = {}
                for mode in ("--exact", "--fast"):
                    done = sluice("perplexity", "-m", model, mode, "-f", "tests/data/tales-valid.txt", "-c", "256", "--json")
                    found[mode] = json.loads(done.stdout)["perplexity"]
                self.assertNotEqual(found["--fast"], found["--exact"])
                self.assertLess(abs(found["--fast"] / found["--exact"] - 1), 1e-3)
                done = sluice("run", "-m", model, "--fast", "-p", "Once upon a time", "-n", "4", "--temp", "0")
                self.assertRegex(done.stderr, r"prompts fast \(")
        done = sluice("run", "-p", "x", "--fast", "--exact")
        self.assertEqual(done.returncode, 2)

    def test_the_isa_can_be_forced_and_changes_nothing(self):
        texts = set()
        for isa in ("scalar", "avx2", "avxvnni", "avx512", "amx"):
            done = sluice("run", "-p", "The", "-n", "12", "--temp", "0", "--json", env={"SLUICE_ISA": isa})
            if done.returncode:
                self.assertIn(f"cannot run ISA {isa}", done.stderr)
                continue
            out = json.loads(done.stdout)
            self.assertEqual(out["isa"], isa)
            texts.add(out["text"])
        self.assertEqual(len(texts), 1)
        done = sluice("run", "-p", "x", env={"SLUICE_ISA": "sse9"})
        self.assertEqual(done.returncode, 1)
        self.assertIn('sluice: unknown ISA "sse9": expected one of scalar, avx2, avxvnni, avx512, amx', done.stderr)

    def test_a_seed_repeats_a_story(self):
        a, b, c = (sluice_json("run", "-p", "A", "-n", "30", "--seed", s, "--json")["text"] for s in (5, 5, 6))
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_sampling_options(self):
        greedy = sluice_json("run", "-p", "A", "-n", "10", "--temp", "0", "--json")["ids"]
        for option in (("--top-k", "1"), ("--top-p", "0"), ("--min-p", "1")):
            out = sluice_json("run", "-p", "A", "-n", "10", "--seed", "3", *option, "--json")["ids"]
            self.assertEqual(out, greedy, option)
        plain, punished = (sluice_json("run", "-p", "A", "-n", "60", "--temp", "0", "--ignore-eos", "--repeat-penalty", r,
                                       "--json")["ids"] for r in ("1", "1.5"))
        self.assertGreater(len(set(punished)), len(set(plain)))

    def test_stop_strings_and_standard_input(self):
        out = sluice_json("run", "-p", "-", "-n", "20", "--temp", "0", "--stop", "who", "--json", stdin="Once upon a time")
        self.assertEqual((out["text"], out["finish"]), (" there was a man ", "stop"))

    def test_generation_outlives_the_context(self):
        out = sluice_json("run", "-p", "Once", "-n", "1200", "--temp", "0", "--ignore-eos", "--json")
        self.assertEqual(len(out["ids"]), 1200)
        limited = sluice_json("run", "-p", "Once", "-n", "1200", "--temp", "0", "--ignore-eos", "--window", "0", "--json")
        self.assertEqual(limited["finish"], "length")
        self.assertLess(len(limited["ids"]), 513)
        self.assertEqual(limited["ids"], out["ids"][:len(limited["ids"])])

    def test_a_closed_pipe_ends_quietly(self):
        program = os.path.join(BUILD, "bin", "sluice")
        done = subprocess.run(f"'{program}' run -p Once -n 100000 --ignore-eos | head -c 20", shell=True, timeout=50,
                              capture_output=True, text=True)
        self.assertEqual(len(done.stdout), 20)


class Tools(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def test_inspect(self):
        out = sluice_json("inspect", MODEL, "--json")
        self.assertEqual(out["version"], 3)
        self.assertEqual(out["metadata"]["llama.block_count"], {"type": "u32", "value": 8})
        self.assertEqual(len(out["metadata"]["tokenizer.ggml.tokens"]["value"]), 2048)
        tensor = next(t for t in out["tensors"] if t["name"] == "token_embd.weight")
        self.assertEqual((tensor["type"], tensor["shape"], tensor["bytes"]), ("F16", [256, 2048], 256 * 2048 * 2))
        table = sluice("inspect", MODEL).stdout
        for word in ("GGUF v3", "general.architecture", "token_embd.weight", "256 x 2048", "6820096 elements"):
            self.assertIn(word, table)

    def test_quantize_run_and_measure(self):
        q8 = self.path("q8.gguf")
        table = sluice_json("quantize", MODEL, q8, "Q8_0", "--json")
        matrices = [t for t in table if t["to"] == "Q8_0"]
        self.assertEqual(len(matrices), 8 * 7 + 1)
        self.assertTrue(all(0 < t["rmse"] < 0.01 for t in matrices))
        text = os.path.join(DATA, "tales-valid.txt")
        exact = fixture("tales-7m-f16.json")["perplexity"]["value"]
        ppl = sluice_json("perplexity", "-m", q8, "-f", text, "-c", "256", "--json")["perplexity"]
        self.assertLess(abs(ppl / exact - 1), 0.005)
        # Back to F32, a file that holds the very values that Q8_0 holds.
        f32 = self.path("f32.gguf")
        self.assertEqual(sluice("quantize", q8, f32, "F32").returncode, 0)
        kinds = {t["type"] for t in sluice_json("inspect", f32, "--json")["tensors"]}
        self.assertEqual(kinds, {"F32"})

    def test_quantized_models_are_exact_too(self):
        for kind in ("Q8_0", "BF16", "F32"):
            model = self.path(kind)
            self.assertEqual(sluice("quantize", MODEL, model, kind).returncode, 0)
            texts = {sluice_json("run", "-m", model, "-p", "The king", "-n", "24", "--temp", "0", "--ignore-eos", "-t", threads,
                                 "--json", "--isa", isa)["text"]
                     for isa in ("scalar", "avx2") for threads in (1, 2)}
            self.assertEqual(len(texts), 1, kind)

    def test_synth_runs(self):
        model = self.path("tiny.gguf")
        self.assertEqual(sluice("synth", "--preset", "tiny", "--type", "F16", "-o", model).returncode, 0)
        self.assertEqual(len(sluice_json("run", "-m", model, "-p", "x", "-n", "5", "--ignore-eos", "--json")["ids"]), 5)

    def test_bench(self):
        out = sluice_json("bench", "-p", "32", "-n", "8", "-t", "2", "--batch", "2", "-r", "3", "--json")
        self.assertEqual((len(out["prefill_samples"]), len(out["decode_samples"]), out["threads"]), (3, 3, 2))
        self.assertEqual(sorted(out["decode_samples"])[1], out["decode_tps"])

    def test_kv_study(self):
        svg = self.path("study.svg")
        out = sluice_json("bench", "--kv-study", "--steps", "1000", "--window", "64", "--svg", svg, "--json")
        self.assertEqual([row["tokens"] for row in out["totals"]], [100, 500, 1000])
        for row in out["totals"]:
            self.assertAlmostEqual(row["ratio"], row["without_s"] / row["with_s"])
        with open(svg, encoding="utf-8") as file:
            self.assertIn("</svg>", file.read())


class Mistakes(unittest.TestCase):
    """Bad usage is status 2, a failure 1; messages begin with the program's name."""

    def expect(self, status, words, *args, **how):
        done = sluice(*args, **how)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertTrue(done.stderr.startswith("sluice: "), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_usage(self):
        self.expect(2, ["subcommand"])
        self.expect(2, ["--frobnicate"], "run", "--frobnicate")
        self.expect(2, ["--n-predict"], "run", "-n", "many")
        self.expect(2, ["--device"], "run", "--device", "abacus")
        self.expect(2, ["text"], "tokenize")
        self.expect(2, ["--preset"], "synth", "-o", "x")
        self.expect(2, ["id"], "detokenize", "-m", MODEL, "nonsense")

    def test_help_and_version(self):
        for program in ("sluice", "sluicectl", "sluiced"):
            self.assertEqual(run(program, "--help").returncode, 0)
            self.assertIn(program, run(program, "--version").stdout)
        for command in ("run", "tokenize", "detokenize", "inspect", "perplexity", "bench", "quantize", "synth"):
            done = sluice(command, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("--help", done.stdout)

    def test_double_dash_ends_options(self):
        self.assertEqual(sluice_json("tokenize", "--no-bos", "--", "--no-bos"),
                         sluice_json("tokenize", "--no-bos", "-", stdin="--no-bos"))

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            missing = os.path.join(folder, "missing.gguf")
            self.expect(1, [missing, "No such file"], "run", "-m", missing, "-p", "x")
            self.expect(1, [folder], "run", "-m", folder, "-p", "x")
            text = os.path.join(folder, "text.gguf")
            with open(text, "w", encoding="utf-8") as file:
                file.write("this is no model at all, whatever its name says")
            self.expect(1, [text, "GGUF"], "inspect", text)
            self.expect(1, [text], "perplexity", "-m", MODEL, "-f", text, "-c", "256")
            with open(MODEL, "rb") as file:
                model = bytearray(file.read())
            cut = os.path.join(folder, "cut.gguf")
            with open(cut, "wb") as file:
                file.write(model[:-1000])
            self.expect(1, [cut, "tensor"], "run", "-m", cut, "-p", "x")
            other = os.path.join(folder, "other.gguf")
            at = model.index(b"llama", model.index(b"general.architecture"))
            model[at:at + 5] = b"lamma"
            with open(other, "wb") as file:
                file.write(model)
            self.expect(1, [other, 'unknown architecture "lamma"', "llama"], "run", "-m", other, "-p", "x")
            self.expect(1, ["Q9_9"], "quantize", MODEL, os.path.join(folder, "out.gguf"), "Q9_9")
            self.assertNotIn("out.gguf", os.listdir(folder))

    def test_values(self):
        self.expect(1, ["temperature"], "run", "-p", "x", "--temp", "-1")
        self.expect(1, ["window", "multiple of 16"], "run", "-p", "x", "--window", "50")
        self.expect(1, ["chunk"], "perplexity", "-f", os.path.join(DATA, "tales-valid.txt"), "-c", "100000")
        self.expect(1, ["9999999"], "detokenize", "9999999")


if __name__ == "__main__":
    unittest.main()
