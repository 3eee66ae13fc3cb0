# SPDX-License-Identifier: Apache-2.0
"""Models on the emulated board within the process: the same results as the CPU's by the programs that
users run, and what they see when the board fails."""

import json
import os
import tempfile
import unittest

from daemon import Daemon
from programs import MODEL, run, sluice, sluice_json

STORY = ("run", "-p", "Once upon a time", "-n", "24", "--temp", "0", "--json")


class Splits(unittest.TestCase):
    def test_every_split_tells_the_same_story(self):
        cpu = sluice_json(*STORY, "--device", "cpu")
        self.assertEqual((cpu["device"], cpu["device_layers"]), ("cpu", 0))
        for layers in (0, 1, 3, 7, 8, 99, "all"):
            with self.subTest(layers=layers):
                out = sluice_json(*STORY, "--device", "emu", "--device-layers", layers)
                self.assertEqual(out["ids"], cpu["ids"])
                n = 8 if layers in (99, "all") else layers
                self.assertEqual((out["device"], out["device_layers"]), ("emu" if n else "cpu", n))

    def test_quantized(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "q8.gguf")
            self.assertEqual(sluice("quantize", MODEL, path, "Q8_0").returncode, 0)
            cpu = sluice_json(*STORY, "-m", path, "--device", "cpu")
            emu = sluice_json(*STORY, "-m", path, "--device", "emu", "--device-layers", "5")
            self.assertEqual(emu["ids"], cpu["ids"])

    def test_says_what_the_board_holds(self):
        done = sluice("run", "-p", "Once", "-n", "4", "--device", "emu")
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ("board:", "8 of 8 layers", "weights", "KV cache", "activations", "free"):
            self.assertIn(word, done.stderr)

    def test_layers_that_do_not_fit_run_on_the_cpu(self):
        cpu = sluice_json(*STORY, "--device", "cpu")
        out = sluice_json(*STORY, "--device", "emu", "--emulator-memory", "20")
        self.assertEqual(out["ids"], cpu["ids"])
        self.assertTrue(0 < out["device_layers"] < 8, out["device_layers"])
        done = sluice(*STORY, "--device", "emu", "--emulator-memory", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not one layer", done.stderr)
        self.assertIn("weights", done.stderr)

    def test_perplexity_is_the_cpu_s(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "text")
            with open(path, "w", encoding="utf-8") as file:
                file.write("The king had three daughters, and the youngest was the fairest. " * 40)
            cpu, emu = (sluice_json("perplexity", "-f", path, "-c", "64", "--json", "--device", device)
                        for device in ("cpu", "emu"))
            self.assertEqual(emu["perplexity"], cpu["perplexity"])


class Faults(unittest.TestCase):
    def test_a_board_that_fails_is_reset_and_the_story_goes_on(self):
        expected = sluice_json(*STORY, "--device", "cpu")["ids"]
        for fault in ("hang@105", "all-ones@105", "corrupt@105"):
            with self.subTest(fault=fault):
                out = sluice_json(*STORY, "--device", "emu", "--fault", fault, "--device-timeout", "1")
                self.assertEqual(out["ids"], expected)
                self.assertEqual(out["recoveries"], 1)
        for fault in ("lost-irq:0.05", "late@105,200ms"):
            with self.subTest(fault=fault):
                out = sluice_json(*STORY, "--device", "emu", "--fault", fault)
                self.assertEqual((out["ids"], out["recoveries"]), (expected, 0))

    def test_a_board_that_is_pulled_out_is_an_error(self):
        done = sluice(*STORY, "--device", "emu", "--fault", "removal@105", "--device-timeout", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("gone", done.stderr)

    def test_bad_options_are_usage_errors(self):
        for args in (("--device", "abacus"), ("--device-layers", "-1"), ("--device-layers", "many"),
                     ("--device", "emu", "--fault", "fire"), ("--device", "emu", "--fault", "hang@x")):
            with self.subTest(args=args):
                done = sluice(*STORY, *args)
                self.assertIn(done.returncode, (1, 2))
                self.assertTrue(done.stderr.startswith("sluice: "), done.stderr)


class Tools(unittest.TestCase):
    def test_the_emulated_board_conforms(self):
        done = run("sluicectl", "-d", "emu", "conform", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        out = json.loads(done.stdout)
        self.assertEqual((out["failed"], out["left_out"]), (0, 0))
        self.assertGreater(out["passed"], 20)

    def test_the_daemon_serves_from_a_board(self):
        request = {"prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
        texts = []
        for args in (("--device", "cpu"), ("--device", "emu"), ("--device", "emu", "--device-layers", "3")):
            with Daemon(*args) as daemon:
                response = daemon.post("/v1/completions", request)
                self.assertEqual(response.status, 200)
                texts.append(response.json()["choices"][0]["text"])
        self.assertEqual(texts[1:], texts[:1] * 2)


if __name__ == "__main__":
    unittest.main()
