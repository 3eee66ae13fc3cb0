# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command-line programs share: running one, fixtures, models."""

import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(ROOT, "build"))
MODEL = os.path.join(ROOT, "models", "tales-7m-f16.gguf")
DATA = os.path.join(ROOT, "tests", "data")


def extra_model(name):
    """A model that is not part of the project; None where the machine does not have it."""
    folder = os.environ.get("SLUICE_TEST_MODELS", os.path.join(ROOT, "..", "shared", "models"))
    path = os.path.join(folder, name)
    return path if os.path.exists(path) else None


def fixture(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        return json.load(file)


def run(program, *args, stdin=None, env=None, timeout=50):
    """Runs build/bin/PROGRAM; the result has returncode, stdout and stderr as text."""
    done = subprocess.run(
        [os.path.join(BUILD, "bin", program), *map(str, args)],
        input=None if stdin is None else stdin.encode(),
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
    )
    # Not text mode: that would rewrite line ends.
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


def sluice(*args, **how):
    return run("sluice", *args, **how)


def sluice_json(*args, **how):
    """The JSON that a successful command prints."""
    done = sluice(*args, **how)
    if done.returncode != 0:
        raise AssertionError(f"sluice {args}: {done.stderr}")
    return json.loads(done.stdout)
