# SPDX-License-Identifier: Apache-2.0
"""Many clients at a time: the same texts as alone, preemption, cancellation, the bounded queue, and
sleep when there is nothing to do."""

import json
import os
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from daemon import Daemon

LONG = {"prompt": "The old woman took the", "max_tokens": 500, "ignore_eos": True}
REQUESTS = [
    {
        "prompt": f"{opening}, " * (1 + 6 * (i % 3)),
        "max_tokens": 20 + 5 * i,
        "temperature": 0.9 if i % 2 else 0,
        "seed": 100 + i,
        "top_p": 0.9,
    }
    for i, opening in enumerate(
        ("Once upon a time", "The old king", "A poor miller", "Snow fell", "The wolf", "Far away",
         "In the forest", "One day the youngest prince")
    )
]


def together(daemon, requests, workers=8):
    """Sends all requests at a time; the results in their order."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda fields: daemon.complete(**fields), requests))


def essence(result):
    """What must not depend on the company."""
    return result["choices"], result["usage"]


def send_only(daemon, fields):
    """Sends a completion request and leaves the answer unread."""
    body = json.dumps(fields).encode()
    connection = daemon.connect()
    connection.sendall(
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    return connection


class ConcurrencyTest(unittest.TestCase):
    def test_eight_at_a_time_equal_eight_in_turn(self):
        with Daemon("--kv-tokens", 4096) as daemon:
            serial = [daemon.complete(**fields) for fields in REQUESTS]
            parallel = together(daemon, REQUESTS)
            for alone, beside in zip(serial, parallel):
                self.assertEqual(essence(alone), essence(beside))
            self.assertEqual(daemon.health()["preempted"], 0)

    def test_small_steps_give_the_same_texts(self):
        """Prompts in chunks of what a step of 16 tokens has left beside the generating sequences."""
        with Daemon() as daemon:
            expected = [essence(daemon.complete(**fields)) for fields in REQUESTS]
        with Daemon("--max-batch-tokens", 16, "--max-sequences", 8) as daemon:
            results = [essence(result) for result in together(daemon, REQUESTS)]
        self.assertEqual(results, expected)

    def test_preempted_texts_are_the_same(self):
        """Eight sequences that grow to 10 to 15 blocks each in a cache of 20."""
        requests = [{**fields, "max_tokens": 150, "ignore_eos": True} for fields in REQUESTS]
        with Daemon("--kv-tokens", 4096) as daemon:
            expected = [essence(daemon.complete(**fields)) for fields in requests]
        with Daemon("--kv-tokens", 320) as daemon:
            results = [essence(result) for result in together(daemon, requests)]
            self.assertGreater(daemon.health()["preempted"], 0)
            self.assertEqual(results, expected)
            # A text that could never fit is refused.
            response = daemon.post("/v1/completions", {**LONG, "max_tokens": 400})
            self.assertEqual(response.status, 400)
            self.assertIn("320", response.error["message"])

    def test_a_client_that_leaves_is_cancelled(self):
        with Daemon("--max-sequences", 2) as daemon:
            for fields in (LONG, {**LONG, "stream": True}):
                leaving = [send_only(daemon, fields) for _ in range(6)]
                daemon.wait_for(
                    lambda health: health["running"] + health["waiting"] == 6, "six requests"
                )
                beside = send_only(daemon, {**LONG, "max_tokens": 10})
                for connection in leaving:
                    connection.close()
                self.assertIn(b"HTTP/1.1 200 OK", beside.recv(100))  # another's end is not its own
                beside.close()
                daemon.wait_for(
                    lambda health: health["running"] + health["waiting"] == 0, "an idle engine"
                )
            self.assertIn("client left", daemon.log())
            expected = daemon.complete(**{**LONG, "max_tokens": 5})
            self.assertEqual(expected["usage"]["completion_tokens"], 5)

    def test_a_full_queue_is_503(self):
        with Daemon("--max-sequences", 1, "--max-queue", 2) as daemon:
            running = send_only(daemon, LONG)
            daemon.wait_for(lambda health: health["running"] == 1, "one running")
            waiting = [send_only(daemon, LONG) for _ in range(2)]
            daemon.wait_for(lambda health: health["waiting"] == 2, "two waiting")
            response = daemon.post("/v1/completions", LONG)
            self.assertEqual(response.status, 503)
            self.assertEqual(response.error["type"], "server_error")
            self.assertEqual(response.error["code"], "overloaded")
            self.assertIn("retry-after", response.headers)
            for connection in (running, *waiting):
                connection.close()
            daemon.wait_for(lambda health: health["waiting"] == 0, "an empty queue")
            self.assertEqual(daemon.post("/v1/completions", {"prompt": "a"}).status, 200)

    def test_health_answers_while_the_engine_works(self):
        with Daemon() as daemon:
            connection = send_only(daemon, {**LONG, "n": 16})
            daemon.wait_for(lambda health: health["running"] > 0, "work")
            times = []
            for _ in range(20):
                started = time.monotonic()
                daemon.health()
                times.append(time.monotonic() - started)
            self.assertLess(sorted(times)[10], 0.5)
            connection.close()

    def test_large_prompts_hold_nobody_up(self):
        """Texts of megabytes are tokenized (to be refused with their counts) beside the others."""
        large = {"prompt": "Once upon a time, " * 30000}
        with Daemon() as daemon, ThreadPoolExecutor(4) as pool:
            refusals = [pool.submit(daemon.post, "/v1/completions", large) for _ in range(4)]
            time.sleep(0.1)
            started = time.monotonic()
            daemon.health()
            daemon.complete(prompt="a", max_tokens=2)
            self.assertLess(time.monotonic() - started, 1)
            for refusal in refusals:
                response = refusal.result()
                self.assertEqual(response.status, 400)
                self.assertEqual(response.error["code"], "context_length_exceeded")

    def test_idle_is_asleep(self):
        with Daemon() as daemon:
            daemon.complete(prompt="a", max_tokens=2)
            time.sleep(0.3)

            def ticks():
                with open(f"/proc/{daemon.process.pid}/stat", encoding="ascii") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
                return int(fields[11]) + int(fields[12])

            before = ticks()
            time.sleep(1.5)
            used = (ticks() - before) / os.sysconf("SC_CLK_TCK")
            self.assertLessEqual(used, 0.03)


if __name__ == "__main__":
    unittest.main()
