# SPDX-License-Identifier: Apache-2.0
"""The HTTP API as its users see it: what each endpoint answers, and what it says of bad requests."""

import json
import os
import tempfile
import unittest

from daemon import ROOT, Daemon

STORY = {"prompt": "Once upon a time", "temperature": 0}


def text_of(chunks, index=0):
    return "".join(
        choice["text"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index
    )


class ApiTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.model = cls.daemon.get("/v1/models").json()["data"][0]["id"]
        with open(os.path.join(ROOT, "tests/data/tales-7m-f16.json"), encoding="utf-8") as file:
            cls.golden = json.load(file)

    @classmethod
    def tearDownClass(cls):
        with cls.daemon:
            pass

    def reject(self, body, param, status=400, code=None):
        """The body must be refused with an error object about `param`; returns its message."""
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        response = self.daemon.request("POST", "/v1/completions", body=body)
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(response.headers["content-type"], "application/json")
        error = response.error
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertEqual(error["param"], param, error)
        self.assertEqual(error["type"], "invalid_request_error")
        if code is not None:
            self.assertEqual(error["code"], code)
        if param is not None:
            self.assertIn(param, error["message"])
        return error["message"]

    # --- small endpoints
    def test_health(self):
        response = self.daemon.get("/health")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.json()["status"], "ok")

    def test_models(self):
        listed = self.daemon.get("/v1/models").json()
        self.assertEqual(listed["object"], "list")
        (model,) = listed["data"]
        self.assertEqual(model["object"], "model")
        self.assertEqual(model["max_model_len"], 512)
        self.assertEqual(self.daemon.get(f"/v1/models/{self.model}").json(), model)
        missing = self.daemon.get("/v1/models/gpt-%32")
        self.assertEqual(missing.status, 404)
        self.assertEqual(missing.error["code"], "model_not_found")
        self.assertIn("gpt-2", missing.error["message"])

    def test_head_has_no_body(self):
        full = self.daemon.get("/v1/models")
        head = self.daemon.request("HEAD", "/v1/models")
        self.assertEqual(head.status, 200)
        self.assertEqual(head.body, b"")
        self.assertEqual(head.headers["content-length"], full.headers["content-length"])

    def test_unknown_path(self):
        for path in ("/", "/v1", "/v1/completion", "/v1/completions/", "/health/x", "/v1/models/"):
            response = self.daemon.get(path)
            self.assertEqual(response.status, 404, path)
            self.assertIn(path, response.error["message"])
        self.assertEqual(self.daemon.get("/health?verbose=1").status, 200)

    def test_wrong_method(self):
        response = self.daemon.get("/v1/completions")
        self.assertEqual(response.status, 405)
        self.assertEqual(response.headers["allow"], "POST")
        response = self.daemon.post("/health", {})
        self.assertEqual(response.status, 405)
        self.assertEqual(response.headers["allow"], "GET, HEAD")
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            self.assertEqual(self.daemon.request(method, "/v1/models").status, 405, method)
        self.assertNotIn("access-control-allow-origin", response.headers)

    # --- completions
    def test_completion(self):
        result = self.daemon.complete(model=self.model, max_tokens=8, **STORY)
        self.assertEqual(result["object"], "text_completion")
        self.assertEqual(result["model"], self.model)
        self.assertTrue(result["id"].startswith("cmpl-"))
        (choice,) = result["choices"]
        self.assertEqual(choice["index"], 0)
        self.assertEqual(choice["finish_reason"], "length")
        self.assertIsNone(choice["logprobs"])
        self.assertTrue(choice["text"].startswith(" "), choice)
        self.assertEqual(
            result["usage"], {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13}
        )

    def test_greedy_text_is_the_reference_s(self):
        """The ids that the independent reference generated, given as a prompt and echoed, are the
        text that the daemon generates."""
        for case in self.golden["greedy"][:4]:
            ids = case["prompt_ids"] + case["greedy"]
            expected = self.daemon.complete(prompt=ids, max_tokens=0, echo=True)
            result = self.daemon.complete(
                prompt=case["prompt"], max_tokens=len(case["greedy"]), temperature=0, echo=True
            )
            self.assertEqual(result["choices"][0]["text"], expected["choices"][0]["text"])

    def test_default_of_max_tokens(self):
        self.assertEqual(self.daemon.complete(**STORY)["usage"]["completion_tokens"], 16)

    def test_stream(self):
        whole = self.daemon.complete(max_tokens=24, **STORY)
        chunks = self.daemon.stream(max_tokens=24, **STORY)
        self.assertGreater(len(chunks), 10)
        self.assertEqual(text_of(chunks), whole["choices"][0]["text"])
        self.assertEqual({chunk["id"] for chunk in chunks}, {chunks[0]["id"]})
        self.assertTrue(all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1]))
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "length")
        self.assertEqual(chunks[-1]["usage"], whole["usage"])
        self.assertTrue(all("usage" not in chunk for chunk in chunks[:-1]))

    def test_stream_with_usage_in_openai_s_form(self):
        options = {"include_usage": True}
        chunks = self.daemon.stream(max_tokens=5, stream_options=options, **STORY)
        self.assertEqual(chunks[-1]["choices"], [])
        self.assertEqual(chunks[-1]["usage"]["total_tokens"], 10)
        self.assertTrue(all(chunk["usage"] is None for chunk in chunks[:-1]))

    def test_several_prompts_and_choices(self):
        prompts = ["Once upon a time", "The old king"]
        alone = [
            self.daemon.complete(prompt=prompt, max_tokens=6, seed=7 + k)
            for prompt in prompts
            for k in range(2)
        ]
        together = self.daemon.complete(prompt=prompts, max_tokens=6, seed=7, n=2)
        self.assertEqual([choice["index"] for choice in together["choices"]], [0, 1, 2, 3])
        self.assertEqual(
            [choice["text"] for choice in together["choices"]],
            [result["choices"][0]["text"] for result in alone],
        )
        chunks = self.daemon.stream(prompt=prompts, max_tokens=6, seed=7, n=2)
        for index in range(4):
            self.assertEqual(text_of(chunks, index), together["choices"][index]["text"])
        self.assertEqual(chunks[-1]["usage"], together["usage"])
        self.assertEqual(together["usage"]["completion_tokens"], 24)

    def test_prompt_of_ids(self):
        case = self.golden["greedy"][0]
        text = self.daemon.complete(prompt=case["prompt"], max_tokens=6, temperature=0)
        ids = self.daemon.complete(prompt=case["prompt_ids"], max_tokens=6, temperature=0)
        nested = self.daemon.complete(
            prompt=[case["prompt_ids"], case["prompt_ids"][:3]], max_tokens=6, temperature=0
        )
        self.assertEqual(ids["choices"][0]["text"], text["choices"][0]["text"])
        self.assertEqual(nested["choices"][0]["text"], text["choices"][0]["text"])
        self.assertEqual(nested["usage"]["prompt_tokens"], len(case["prompt_ids"]) + 3)

    def test_echo(self):
        result = self.daemon.complete(max_tokens=4, echo=True, **STORY)
        self.assertTrue(result["choices"][0]["text"].startswith("Once upon a time "))
        chunks = self.daemon.stream(max_tokens=4, echo=True, **STORY)
        self.assertEqual(text_of(chunks), result["choices"][0]["text"])

    def test_seed_and_randomness(self):
        def sample(**fields):
            return self.daemon.complete(prompt="The old", max_tokens=20, **fields)["choices"][0]

        self.assertEqual(sample(seed=5), sample(seed=5))
        self.assertNotEqual(sample(seed=5)["text"], sample(seed=6)["text"])
        self.assertNotEqual(sample()["text"], sample()["text"])
        self.assertEqual(sample(seed=-1), sample(seed=-1))
        greedy = sample(temperature=0)
        self.assertEqual(sample(top_k=1, seed=1), greedy)
        self.assertEqual(sample(top_k=0, min_p=1.0, seed=2), greedy)
        self.assertNotEqual(sample(temperature=0, repeat_penalty=10), greedy)

    def test_unicode(self):
        """Text comes in whole characters whatever the pieces of tokens are."""
        prompt = "Дракон 🐉 sagte: »Grüß Gott« — \u0000 und"
        result = self.daemon.complete(prompt=prompt, max_tokens=3, echo=True)
        self.assertTrue(result["choices"][0]["text"].startswith(prompt))
        # Byte tokens 0xF0 0x9F 0x90 0x89 are one dragon.
        ids = [self.byte_token(byte) for byte in "🐉".encode()]
        text = self.daemon.complete(prompt=[1, *ids], max_tokens=0, echo=True)
        self.assertEqual(text["choices"][0]["text"].strip(), "🐉")
        for chunk in self.daemon.stream(prompt=[1, *ids[:2]], max_tokens=20, temperature=2):
            chunk["choices"][0]["text"].encode()

    @staticmethod
    def byte_token(byte):
        return 3 + byte  # after <unk>, <s> and </s>

    def test_sixteen_stops_and_the_end_token(self):
        stops = [f"never {i}" for i in range(15)] + ["."]
        result = self.daemon.complete(max_tokens=200, stop=stops, **STORY)
        self.assertEqual(result["choices"][0]["finish_reason"], "stop")
        self.assertNotIn(".", result["choices"][0]["text"])

    def test_stop_never_leaks(self):
        whole = self.daemon.complete(max_tokens=60, **STORY)["choices"][0]["text"]
        for begin in range(5, len(whole) - 12, 9):
            stop = whole[begin : begin + 9]
            before = whole[: whole.index(stop)]
            result = self.daemon.complete(max_tokens=60, stop=stop, **STORY)["choices"][0]
            self.assertEqual(result["text"], before)
            self.assertEqual(result["finish_reason"], "stop")
            chunks = self.daemon.stream(max_tokens=60, stop=["\u0001", stop], **STORY)
            self.assertEqual(text_of(chunks), before)
            self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "stop")

    def test_held_back_text_comes_out_at_the_end(self):
        whole = self.daemon.complete(max_tokens=10, **STORY)["choices"][0]["text"]
        chunks = self.daemon.stream(max_tokens=10, stop=whole[-6:] + "never", **STORY)
        self.assertEqual(text_of(chunks), whole)
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "length")

    def test_a_null_is_an_absent_field(self):
        nulls = dict.fromkeys(
            ("model", "max_tokens", "stop", "seed", "suffix", "logprobs", "best_of", "n", "user")
        )
        result = self.daemon.complete(**STORY, **nulls)
        self.assertEqual(result["usage"]["completion_tokens"], 16)

    def test_defaults_of_unsupported_fields(self):
        self.daemon.complete(
            **STORY, presence_penalty=0, frequency_penalty=0.0, best_of=1, logit_bias={}, user="me",
            suffix="", some_field_of_the_future=[1, {"a": None}],
        )

    def test_any_content_type(self):
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            response = self.daemon.post("/v1/completions", STORY, headers={"content-type": kind})
            self.assertEqual(response.status, 200, kind)

    # --- what is refused
    def test_malformed_json(self):
        message = self.reject('{"prompt": "a",\n "max_tokens": 5,}', None, code="invalid_json")
        self.assertIn("line 2, column 18", message)
        for body in ("", "{", "nul", '{"prompt": "a"} x', '{"prompt": "\xff"}'.encode("latin-1"),
                     '{"prompt": "\\ud800"}', '{"max_tokens": 1e999}', "\0", '"' + "a" * 100000):
            self.reject(body, None, code="invalid_json")

    def test_nesting_bomb(self):
        for bomb in ("[" * 100000, '{"a":' * 100000, '{"stop": ' + "[" * 50 + "]" * 50 + "}"):
            self.assertIn("nested", self.reject(bomb, None))

    def test_not_an_object(self):
        for body in ("[]", "3", '"text"', "null", "true"):
            self.assertIn("object", self.reject(body, None))

    def test_wrong_types_and_ranges(self):
        cases = {
            "temperature": ["hot", -0.1, 2.1, [], True, 1e308],
            "top_p": ["", 1.5, -1],
            "min_p": [2, {}],
            "top_k": [-1, 0.5, "1", 2**32, 2**64],
            "repeat_penalty": [0, 11, "x"],
            "repeat_last_n": [-1, 65537],
            "max_tokens": [-1, 1.5, "5", [5], 2**32, -(2**63), 1e300],
            "n": [0, -1, 1025, "2", 1.0],
            "seed": ["a", 1.5, []],
            "stream": ["yes", 1],
            "echo": ["no", 0],
            "ignore_eos": [1],
            "stop": [5, [""], "", {}, ["a"] * 17, "x" * 1025],
            "model": [5, ["a"], {}],
            "presence_penalty": [1, "1", -2],
            "frequency_penalty": [0.5],
            "best_of": [2, "1"],
            "logprobs": [1, 0, True],
            "logit_bias": [{"50256": -100}],
            "suffix": ["the end"],
        }
        for field, values in cases.items():
            for value in values:
                with self.subTest(field=field, value=str(value)[:40]):
                    response = self.daemon.post("/v1/completions", {**STORY, field: value})
                    self.assertEqual(response.status, 400, response.body)
                    self.assertTrue(response.error["param"].startswith(field), response.error)
                    self.assertIn(f"'{response.error['param']}'", response.error["message"])

    def test_wrong_prompts(self):
        for prompt, param in (
            ([], "prompt"), (5, "prompt"), ({}, "prompt"), (True, "prompt"),
            ([[]], "prompt[0]"), (["a", 5], "prompt[1]"), ([1, "a"], "prompt[1]"),
            ([[1], "a"], "prompt[1]"), ([[1], [2, -1]], "prompt[1][1]"), ([1, 2.5], "prompt[1]"),
            ([True], "prompt[0]"), ([1, 2**31], "prompt[1]"), ([1, 2**64], "prompt[1]"),
            ([1, 2048], "prompt[1]"), ([[1], [5, 99999]], "prompt[1][1]"),
            ([None], "prompt[0]"),
        ):
            with self.subTest(prompt=prompt):
                self.reject({"prompt": prompt}, param)
        self.reject({"max_tokens": 5}, "prompt", code="missing_required_parameter")
        self.reject({"prompt": None}, "prompt", code="missing_required_parameter")

    def test_stream_options(self):
        self.reject({**STORY, "stream_options": {}}, "stream_options")
        self.reject({**STORY, "stream": True, "stream_options": 5}, "stream_options")
        self.reject(
            {**STORY, "stream": True, "stream_options": {"include_usage": 1}},
            "stream_options.include_usage",
        )

    def test_unknown_model(self):
        message = self.reject({**STORY, "model": "gpt-9"}, "model", 404, "model_not_found")
        self.assertIn(self.model, message)

    def test_context_is_refused_with_the_counts(self):
        long_prompt = [1] * 600
        message = self.reject({"prompt": long_prompt}, "prompt", code="context_length_exceeded")
        self.assertIn("600", message)
        self.assertIn("512", message)
        message = self.reject(
            {**STORY, "max_tokens": 510}, "max_tokens", code="context_length_exceeded"
        )
        for count in ("512", "515", " 5 ", "510"):
            self.assertIn(count, message)
        result = self.daemon.complete(max_tokens=507, ignore_eos=True, **STORY)
        self.assertEqual(result["usage"]["total_tokens"], 512)
        result = self.daemon.complete(prompt=[1] + [300] * 505, temperature=0, ignore_eos=True)
        self.assertEqual(result["usage"]["completion_tokens"], 6)

    def test_too_many_choices(self):
        self.assertIn("128", self.reject({**STORY, "n": 129}, "n"))
        self.reject({"prompt": ["a"] * 129}, "prompt")


class KeyTest(unittest.TestCase):
    """With a key file, everything but /health wants a key."""

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
            keys.write("# team\n\n  first-key  \nsecond-key\n")
            keys.flush()
            with Daemon("--api-key-file", keys.name) as daemon:
                self.check(daemon)

    def check(self, daemon):
        self.assertEqual(daemon.get("/health").status, 200)
        bad = ("", "Bearer", "Bearer ", "Bearer first-ke", "Bearer first-key2", "Basic first-key",
               "first-key", "Bearer # team")
        for value in bad:
            headers = {"Authorization": value} if value else {}
            for path in ("/v1/models", "/v1/models/x"):
                response = daemon.get(path, headers=headers)
                self.assertEqual(response.status, 401, value)
                self.assertEqual(response.error["code"], "invalid_api_key")
                self.assertEqual(response.headers["www-authenticate"], "Bearer")
            response = daemon.post("/v1/completions", STORY, headers=headers)
            self.assertEqual(response.status, 401, value)
        for key in ("Bearer first-key", "bearer second-key"):
            headers = {"Authorization": key}
            self.assertEqual(daemon.get("/v1/models", headers=headers).status, 200)
            response = daemon.post("/v1/completions", STORY, headers=headers)
            self.assertEqual(response.status, 200)
        self.assertNotIn("first-key", daemon.log())

    def test_cors(self):
        with Daemon("--cors-origin", "https://chat.example") as daemon:
            response = daemon.request("OPTIONS", "/v1/completions")
            self.assertEqual(response.status, 204)
            self.assertEqual(response.headers["access-control-allow-origin"], "https://chat.example")
            self.assertEqual(response.headers["access-control-allow-methods"], "POST")
            self.assertIn("authorization", response.headers["access-control-allow-headers"])
            response = daemon.get("/health")
            self.assertEqual(response.headers["access-control-allow-origin"], "https://chat.example")


if __name__ == "__main__":
    unittest.main()
