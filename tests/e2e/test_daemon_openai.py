# SPDX-License-Identifier: Apache-2.0
"""The official OpenAI client (npm's `openai`, installed under build/ by make) against the daemon."""

import json
import os
import subprocess
import tempfile
import unittest

from daemon import BUILD, ROOT, Daemon

FOLDER = os.path.join(BUILD, "e2e", "openai")
SCRIPT = os.path.join(ROOT, "tests", "e2e", "openai", "client.mjs")


class OpenAiTest(unittest.TestCase):
    def test_official_client(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
            keys.write("the-key\n")
            keys.flush()
            with Daemon("--api-key-file", keys.name) as daemon:
                run = subprocess.run(
                    ["node", SCRIPT, f"http://127.0.0.1:{daemon.port}/v1", "the-key", FOLDER],
                    capture_output=True, text=True, timeout=50, check=False,
                )
                self.assertEqual(run.returncode, 0, run.stderr)
                self.check(json.loads(run.stdout))

    def check(self, seen):
        self.assertEqual(len(seen["models"]), 1)
        self.assertEqual(seen["model"], seen["models"][0])

        text = seen["completion"]["choices"][0]["text"]
        usage = {"prompt_tokens": 5, "completion_tokens": 20, "total_tokens": 25}
        self.assertEqual(seen["completion"]["usage"], usage)
        chunks = seen["chunks"]
        self.assertEqual("".join(chunk["choices"][0]["text"] for chunk in chunks), text)
        self.assertEqual(chunks[-1]["usage"], usage)
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "length")
        *pieces, last = seen["chunksWithUsage"]
        self.assertEqual("".join(chunk["choices"][0]["text"] for chunk in pieces), text)
        self.assertEqual((last["choices"], last["usage"]), ([], usage))
        self.assertEqual(seen["stopped"]["choices"][0]["finish_reason"], "stop")
        self.assertEqual(seen["afterEarly"], text)
        self.assertTrue(text.startswith(seen["early"]))

        def error(name):
            return tuple(seen[name][key] for key in ("name", "status", "code", "param"))

        self.assertEqual(error("badField"), ("BadRequestError", 400, "invalid_value", "temperature"))
        self.assertEqual(error("badModel"), ("NotFoundError", 404, "model_not_found", "model"))
        self.assertEqual(error("badKey"), ("AuthenticationError", 401, "invalid_api_key", None))
        self.assertEqual(error("badPath"), ("NotFoundError", 404, "unknown_url", None))
        self.assertIn("temperature", seen["badField"]["message"])


if __name__ == "__main__":
    unittest.main()
