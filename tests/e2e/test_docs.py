# SPDX-License-Identifier: Apache-2.0
"""The commands of the README, docs/quantization.md and docs/serving.md are run as they stand, against a
daemon on a port of its own; what the pages say of texts and errors must come back. docs/library.md and docs/driver.md have
tests of their own (test_library.py and the guest test)."""

import os
import re
import subprocess
import tempfile
import unittest

from daemon import Daemon
from hf_folder import Folder, synthetic
from programs import BUILD, ROOT


def read(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return file.read()


def commands(text, prefix):
    """(command, what follows it) for the lines that begin with the prefix; a backslash goes on."""
    found = []
    for match in re.finditer(rf"^{re.escape(prefix)}((?:.*\\\n)*.*)\n((?:(?!{re.escape(prefix)}|```).*\n)*)", text, re.M):
        found.append((match[1], match[2]))
    return found


def shell(command, port, folder):
    """Runs the command from the checkout, with the built programs, the daemon's port and a folder for /tmp."""
    for what, by in (("127.0.0.1:8080", f"127.0.0.1:{port}"), ("server:8080", f"127.0.0.1:{port}"),
                     ("/tmp/", folder + "/"), ("build/bin/", os.path.join(BUILD, "bin", "")),
                     ("cat keys", f"cat {folder}/keys"), ("curl ", "curl -sS ")):
        command = command.replace(what, by)
    return subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=50)


class Pages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_readme(self):
        text = read("README.md")
        run = [c for c, _ in commands(text, "    ") if c.startswith(("build/bin/", "curl"))]
        self.assertGreater(len(run), 5)
        with Daemon() as daemon:
            for command in run:
                if command.startswith("build/bin/sluicectl list"):
                    continue  # a machine with boards: the guest test
                done = shell(command, daemon.port, self.folder)
                self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
        # The targets that the page names are there.
        with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as file:
            makefile = file.read()
        for target in set(re.findall(r"^    make (\w+)", text, re.M)):
            self.assertRegex(makefile, rf"#: make {target}\b")

    def test_readme_story_is_what_make_run_prints(self):
        story = re.search(r"```text\n(.*?)```", read("README.md"), re.S)[1]
        done = subprocess.run(["make", "--no-print-directory", "run"], cwd=ROOT, capture_output=True, text=True, timeout=50)
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = story.split("\n\n")[0].split()
        self.assertEqual(done.stdout.split()[-len(shown):], shown)

    def test_quantization(self):
        synthetic(os.path.join(self.folder, "synthetic"), "llama")
        Folder(os.path.join(self.folder, "my-llama"), "llama", os.path.join(self.folder, "synthetic")).store("safetensors").write()
        run = [c for c, _ in commands(read("docs/quantization.md"), "    ") if c.startswith("build/bin/")]
        self.assertGreater(len(run), 2)
        for command in run:
            done = shell(command, 0, self.folder)
            self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")

    def test_serving(self):
        n_curl = 0
        with open(os.path.join(self.folder, "keys"), "w", encoding="utf-8") as file:
            file.write("any key: this daemon asks for none\n")
        with Daemon() as daemon:
            for command, output in commands(read("docs/serving.md"), "$ "):
                if not command.startswith("curl"):
                    continue
                n_curl += 1
                done = shell(command, daemon.port, self.folder)
                self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
                flat = re.sub(r"\n ?", " ", output)
                for key in ("text", "message", "finish_reason", "code"):
                    for value in re.findall(rf'"{key}":"((?:[^"\\]|\\.)*)"', flat):
                        self.assertIn(f'"{key}":"{value}"', done.stdout, command)
        self.assertGreater(n_curl, 3)


if __name__ == "__main__":
    unittest.main()
