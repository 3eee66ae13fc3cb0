# SPDX-License-Identifier: Apache-2.0
"""The programs in docs/library.md: each is compiled as the page says, run, and prints what it shows."""

import os
import re
import subprocess
import tempfile
import unittest

from programs import BUILD, MODEL, ROOT


def blocks(language):
    """The page's code blocks in that language, by the file name in their first line."""
    with open(os.path.join(ROOT, "docs", "library.md"), encoding="utf-8") as file:
        page = file.read()
    found = re.findall(rf"^```{language}\n(.*?)^```$", page, re.S | re.M)
    return {re.search(r"[\w.]+\.(?:c|cc)\b", b.split("\n", 1)[0])[0] if language != "text" else str(i): b
            for i, b in enumerate(found)}


class Examples(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def compile(self, name, text, *flags):
        source, program = os.path.join(self.folder, name), os.path.join(self.folder, "program")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        lib = os.path.join(BUILD, "lib")
        subprocess.run([*flags, "-Wall", "-Wextra", "-Werror", "-I", os.path.join(ROOT, "lib", "include"), source,
                        "-L", lib, f"-Wl,-rpath,{os.path.abspath(lib)}", "-lsluice", "-o", program], check=True)
        return program

    def run_program(self, *args):
        return subprocess.run(args, capture_output=True, text=True, timeout=30)

    def test_c_story(self):
        program = self.compile("story.c", blocks("c")["story.c"], "cc", "-std=c11", "-pedantic")
        done = self.run_program(program)
        self.assertEqual((done.returncode, done.stdout), (0, blocks("text")["0"]))
        self.assertEqual(self.run_program(program, MODEL).stdout, done.stdout)
        missing = self.run_program(program, os.path.join(self.folder, "none.gguf"))
        self.assertEqual(missing.returncode, 1)
        self.assertRegex(missing.stderr, r"^story: .*none\.gguf: .*No such file")

    def test_c_options(self):
        """The story with other options: a cache of eight bits gives another one in the end, an unknown type an error."""
        text = blocks("c")["story.c"]
        session = "sluice_session_create(model, NULL, &session)"
        self.assertIn(session, text)
        options = "&(struct sluice_options){.size = sizeof(struct sluice_options), .kv_type = \"%s\"}"
        expected = {"q8_0": (0, blocks("text")["0"].split("\n")[0][:84]), "q4_0": (1, "")}
        for kv_type, (status, beginning) in expected.items():
            program = self.compile("story.c", text.replace("model, NULL", "model, " + options % kv_type), "cc", "-std=c11")
            done = self.run_program(program)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertEqual(done.stdout[:84], beginning)
        self.assertIn("unknown type of KV cache 'q4_0', expected f16, bf16, q8_0", done.stderr)
        options = "&(struct sluice_options){.size = sizeof(struct sluice_options), .huge_pages = 1}"
        program = self.compile("story.c", text.replace("model, NULL", "model, " + options), "cc", "-std=c11")
        self.assertEqual(self.run_program(program).stdout, blocks("text")["0"])

    def test_cpp_pair(self):
        program = self.compile("pair.cc", blocks("cpp")["pair.cc"], "c++", "-std=c++20")
        done = self.run_program(program)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^The king .+\nThe wolf said.+\n$")

    def test_cpp_board(self):
        """No board here, but the program compiles and says what is missing; the guest test has a board."""
        program = self.compile("ident.cc", blocks("cpp")["ident.cc"], "c++", "-std=c++20")
        done = self.run_program(program, "/dev/null")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^ident: .*/dev/null")

    def test_static_library(self):
        source = os.path.join(self.folder, "story.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(blocks("c")["story.c"])
        program = os.path.join(self.folder, "static")
        subprocess.run(["cc", "-I", os.path.join(ROOT, "lib", "include"), source, os.path.join(BUILD, "lib", "libsluice.a"),
                        "-lfmt", "-lpcre2-8", "-lstdc++", "-lm", "-pthread", "-o", program], check=True)
        self.assertEqual(self.run_program(program).stdout, blocks("text")["0"])


if __name__ == "__main__":
    unittest.main()
