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

    def sluicectl(self, status, *args):
        """Both outputs of sluicectl on the emulated board, which has to end with that status."""
        done = run("sluicectl", "-d", "emu", *args)
        self.assertEqual(done.returncode, status, (args, done.stderr))
        return done.stdout + done.stderr

    def test_reset(self):
        self.assertEqual(self.sluicectl(0, "reset"), "")
        self.assertEqual(json.loads(self.sluicectl(0, "reset", "--force", "--json"))["resets"], 1)

    def test_clocks(self):
        self.assertIn("system       168 MHz", self.sluicectl(0, "clk", "show"))
        for text in ("100MHz", "100M", "100000kHz", "0.1GHz", "100000000", "100000000Hz"):
            clock = json.loads(self.sluicectl(0, "clk", "set", text, "--json"))
            self.assertEqual((clock["system_hz"], clock["wait_states"]), (100000000, 3), text)
        for args, hz in ((("set", "default"), 168), (("default",), 168), (("boost", "--yes"), 216),
                         (("set", "216MHz", "-y"), 216)):
            self.assertIn(f"system       {hz} MHz", self.sluicectl(0, "clk", *args))
        refused = self.sluicectl(1, "clk", "set", "167999999")
        self.assertIn("167500000 and 168000000", refused)
        self.assertIn("216000000", self.sluicectl(1, "clk", "set", "217MHz", "--yes"))
        for args in (("boost",), ("set", "boost"), ("set", "200MHz")):
            self.assertIn("--yes", self.sluicectl(2, "clk", *args))
        for text in ("fast", "", "1.5", "1.5Hz", "MHz", ".5M", "5.M", "1.2.3M", "-1", "5GHz", "1 MHz"):
            self.assertIn("no frequency", self.sluicectl(2, "clk", "set", "--", text))

    def test_timers(self):
        self.assertEqual(self.sluicectl(0, "timer", "0", "1MHz"), "1 MHz\n")
        out = json.loads(self.sluicectl(0, "timer", "3", "32.768kHz", "--json"))
        self.assertEqual((out["timer"], out["wanted_hz"]), (3, 32768))
        self.assertTrue(32768 <= out["hz"] < 32800, out)
        for args in (("4", "1MHz"), ("0", "0"), ("0", "200MHz"), ("0", "1")):
            self.sluicectl(1, "timer", *args)
        self.sluicectl(2, "timer", "0", "often")

    def test_top_and_who(self):
        lines = self.sluicectl(0, "top", "-n", "1", "--interval", "0.1").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["DEVICE", "emu"])
        self.assertIn("168 MHz", lines[1])
        for line in self.sluicectl(0, "top", "-n", "2", "--interval", "0.1", "--json").splitlines():
            (board,) = json.loads(line)
            self.assertEqual((board["state"], board["entries_per_second"]), ("live", 0))
        self.assertIn("nobody else", self.sluicectl(1, "who"))
        self.assertIn("there is none for emu", self.sluicectl(1, "phys", "r", "0xfed00000"))

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
