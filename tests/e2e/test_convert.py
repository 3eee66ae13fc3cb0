# SPDX-License-Identifier: Apache-2.0
"""sluice convert: folders that are made of synthetic GGUF files (hf_folder.py) give their bytes again, however the
weights are stored; stock llama.cpp computes the same from what comes out; what is wrong with a folder is said."""

import json
import os
import struct
import tempfile
import unittest
import zipfile

from hf_folder import FAMILIES, Folder, Gguf, pickled, pieces_of, safetensors, synthetic, torch_file, zipped
from programs import sluice, sluice_json
from test_peer import OURS, THEIRS, greedy, worst

# Both multiply in F32; stock rounds keys and values to F16.
F32_LOGITS = 0.01
PROMPT = [1, 5, 9, 100, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55]


class Case(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.base = temporary.name

    def path(self, name):
        return os.path.join(self.base, name)

    def folder(self, architecture="llama", name="folder", rope="none"):
        model = self.path(f"{architecture}-{rope}.gguf")
        if not os.path.exists(model):
            synthetic(model, architecture, rope)
        return Folder(self.path(name), architecture, model)

    def convert(self, folder, name="out.gguf", *args):
        out = self.path(name)
        # A name, because stock takes what calls itself phi3 for a model with phi-3's own tokens.
        done = sluice("convert", folder.write(), "-o", out, "--name", "one", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out

    def refuse(self, folder, *parts):
        done = sluice("convert", folder.write(), "-o", self.path("refused.gguf"))
        self.assertEqual(done.returncode, 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        self.assertFalse([f for f in os.listdir(self.base) if f.startswith("refused")], "a file is left")


class Families(Case):
    def test_the_synthetic_model_comes_back(self):
        for architecture in FAMILIES:
            with self.subTest(architecture=architecture):
                folder = self.folder(architecture, name=architecture).store("safetensors")
                found, wanted = Gguf(self.convert(folder, f"{architecture}.out", "--type", "f32")), folder.gguf
                self.assertEqual(found.tensors.keys(), wanted.tensors.keys())
                for name, tensor in wanted.tensors.items():
                    self.assertTrue(found.tensors[name] == tensor, name)
                # What the file says by itself, and what its defaults are.
                for key, value in wanted.metadata.items():
                    known = key.endswith(("rope.dimension_count", "vocab_size")) and key not in found.metadata
                    if not known and not key.startswith("general."):
                        self.assertEqual(found.metadata.get(key), value, key)

    def test_stock_computes_the_same(self):
        for architecture in FAMILIES:
            with self.subTest(architecture=architecture):
                folder = self.folder(architecture, name=architecture).store("torch")
                out = self.convert(folder, f"{architecture}.out", "--type", "f32")
                ours, theirs = (greedy(side, out, 1, PROMPT) for side in (OURS, THEIRS))
                self.assertLess(worst(ours, theirs), F32_LOGITS)
                synthetic_one = greedy(OURS, self.path(f"{architecture}-none.gguf"), 1, PROMPT)
                self.assertEqual(ours, synthetic_one, "not the same to the bit")

    def test_positions(self):
        """Scalings of both ways of writing; the tensors of factors are what transformers computes."""
        scalings = {
            ("llama", "linear"): {"rope_type": "linear", "factor": 4.0},
            ("qwen3", "yarn"): {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
            ("llama", "llama3"): {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                  "original_max_position_embeddings": 64},
            ("phi3", "longrope"): {"type": "longrope", "long_factor": [1 + i / 4 for i in range(16)],
                                   "short_factor": [1 + i / 64 for i in range(16)]},
        }
        for (architecture, kind), scaling in scalings.items():
            for parameters in (False, True):
                with self.subTest(architecture=architecture, kind=kind, parameters=parameters):
                    folder = self.folder(architecture, name=f"{architecture}-{kind}-{parameters}").store("safetensors")
                    if kind == "longrope":
                        folder.config["original_max_position_embeddings"] = 16
                    if parameters:
                        del folder.config["rope_theta"]
                        folder.config["rope_parameters"] = {**scaling, "rope_theta": 10000.0}
                    else:
                        folder.config["rope_scaling"] = scaling
                    out = self.convert(folder, f"{architecture}-{kind}-{parameters}.out", "--type", "f32")
                    ours, theirs = (greedy(side, out, 1, PROMPT) for side in (OURS, THEIRS))
                    self.assertLess(worst(ours, theirs), F32_LOGITS)
                    plain = greedy(OURS, self.path(f"{architecture}-none.gguf"), 1, PROMPT)
                    self.assertGreater(worst(ours, plain), 10 * F32_LOGITS, "it makes no difference")
                    if kind == "llama3":
                        factors = struct.unpack("<16f", Gguf(out).tensors["rope_freqs.weight"][2])
                        for i, factor in enumerate(factors):
                            turns = 64 / (2 * 3.141592653589793 * 10000 ** (i / 16))
                            smooth = min(max((turns - 1) / 3, 0), 1)
                            self.assertAlmostEqual(factor, 1 / ((1 - smooth) / 8 + smooth), places=4)

    def test_a_matrix_for_the_output_and_biases(self):
        folder = self.folder()
        shape, data = folder.tensors["model.embed_tokens.weight"]
        folder.tensors["lm_head.weight"] = (shape, data[4:] + data[:4])
        folder.config["tie_word_embeddings"] = False
        bias = list(range(96))
        folder.tensors["model.layers.0.self_attn.q_proj.bias"] = ([96], struct.pack("<96f", *bias))
        out = Gguf(self.convert(folder.store("safetensors"), "out.gguf", "--type", "f32"))
        self.assertEqual(out.tensors["output.weight"][2], data[4:] + data[:4])
        # Heads of 32: the first halves and the second halves of a head take turns.
        wanted = [head * 32 + half * 16 + i for head in range(3) for i in range(16) for half in range(2)]
        self.assertEqual(list(struct.unpack("<96f", out.tensors["blk.0.attn_q.bias"][2])), wanted)

    def test_texts_and_images(self):
        """What concerns images is left out; what concerns texts is an object of its own."""
        folder = self.folder("gemma3")
        names = ("architectures",)
        text = {key: value for key, value in folder.config.items() if key not in names}
        folder.config = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": text}
        folder.tensors = {"language_model." + name: t for name, t in folder.tensors.items()}
        folder.tensors["vision_tower.x.weight"] = ([2], bytes(8))
        found = Gguf(self.convert(folder.store("safetensors"), "out.gguf", "--type", "f32"))
        self.assertEqual(found.tensors, folder.gguf.tensors)


class Storage(Case):
    def test_all_ways_give_the_same_bytes(self):
        files = {}
        for how in ("safetensors", "shards", "torch", "torch-shards", "zip64"):
            folder = self.folder(name=how).store(how)
            with open(self.convert(folder, how + ".gguf", "-t", len(files) + 1), "rb") as file:
                files[how] = file.read()
        self.assertGreater(len(files["torch"]), 100000)
        for how, data in files.items():
            self.assertTrue(data == files["safetensors"], how)

    def test_types(self):
        folder = self.folder().store("safetensors")
        plain = Gguf(self.convert(folder, "auto.gguf"))
        self.assertEqual({t[0] for t in plain.tensors.values()}, {"F32"})
        for kind in ("f16", "bf16"):
            out = self.convert(folder, kind, "--type", kind)
            quantized = self.path(kind + "-quantized")
            self.assertEqual(sluice("quantize", self.path("auto.gguf"), quantized, kind.upper()).returncode, 0)
            self.assertTrue(Gguf(out).tensors == Gguf(quantized).tensors, kind)
            self.assertEqual(Gguf(out).metadata["general.file_type"], Gguf(quantized).metadata["general.file_type"])
        done = sluice("convert", folder.path, "-o", self.path("x"), "--type", "q8_0")
        self.assertEqual((done.returncode, "auto, f32, f16, bf16" in done.stderr), (1, True), done.stderr)

    def test_what_is_printed(self):
        folder = self.folder(name="My Model").store("safetensors")
        done = sluice_json("convert", folder.write(), "-o", self.path("out"), "--json")
        self.assertEqual([done[key] for key in ("architecture", "name", "type", "tokenizer", "n_vocab")],
                         ["llama", "My Model", "F32", "llama", 331])
        self.assertEqual([t["name"] for t in done["tensors"]], list(Gguf(self.path("out")).tensors))
        self.assertEqual(done["tensors"][1]["source"], "model.layers.0.input_layernorm.weight")
        table = sluice("convert", folder.path, "-o", self.path("out"), "--name", "Other")
        self.assertRegex(table.stdout, r"blk\.0\.attn_q\.weight +model\.layers\.0\.self_attn\.q_proj\.weight +F32 +F32")
        self.assertIn("Other (llama), 331 tokens of llama", table.stdout)


class Tokens(Case):
    def json_of(self, folder, **changes):
        """The same vocabulary as tokenizer.json: a merge for every way to make a piece, in the order of the scores."""
        meta = folder.gguf.metadata
        tokens = meta["tokenizer.ggml.tokens"]
        known = set(tokens[259:])
        merges = [[t[:i], t[i:]] for t in tokens[259:] for i in range(1, len(t)) if t[:i] in known and t[i:] in known]
        space = "\u2581"
        replace = {"type": "Replace", "pattern": {"String": " "}, "content": space}
        value = {"added_tokens": [{"id": i, "content": t, "special": True} for i, t in enumerate(tokens[:3])],
                 "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": space}, replace]},
                 "pre_tokenizer": None,
                 "post_processor": {"type": "TemplateProcessing",
                                    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
                 "model": {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "vocab": {t: i for i, t in enumerate(tokens)},
                           "merges": merges, **changes.pop("model", {})}, **changes}
        folder.json("tokenizer.json", value)
        folder.files.pop("tokenizer.model", None)
        return value

    def ids(self, model, text):
        return json.loads(sluice("tokenize", "-m", model, text).stdout)

    def test_json_and_pieces_cut_alike(self):
        folder = self.folder().store("safetensors")
        pieces = self.convert(folder, "pieces")
        other = self.folder(name="other").store("safetensors")
        self.json_of(other)
        for name, merges in (("pairs", None), ("lines", " ")):
            if merges:
                value = self.json_of(other)
                value["model"]["merges"] = [merges.join(m) for m in value["model"]["merges"]]
                other.json("tokenizer.json", value)
            out = self.convert(other, name)
            for text in ("hello world", "the quick brown fox", "aaaa bbbb abab", "~z|y{x", "\u00e9\n\ttab", " x  y "):
                self.assertEqual(self.ids(out, text), self.ids(pieces, text), text)
            self.assertEqual(Gguf(out).metadata["tokenizer.ggml.add_bos_token"], True)
            self.assertEqual(Gguf(out).metadata["tokenizer.ggml.token_type"], Gguf(pieces).metadata["tokenizer.ggml.token_type"])

    def test_special_tokens_and_templates(self):
        folder = self.folder().store("safetensors")
        folder.json("tokenizer_config.json", {
            "bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": False, "add_eos_token": True,
            "chat_template": [{"name": "default", "template": "{{ a }}"}, {"name": "tool_use", "template": "{{ b }}"}],
            "added_tokens_decoder": {"300": {"content": "<|turn|>", "special": False},
                                     "301": {"content": "\u2581\u2581x", "special": False},
                                     "302": {"content": "[C]", "special": True},
                                     "9999": {"content": "beyond", "special": True}}})
        folder.json("generation_config.json", {"eos_token_id": [2, 300]})
        folder.config["pad_token_id"] = 0
        meta = Gguf(self.convert(folder)).metadata
        wanted = {"bos_token_id": 1, "eos_token_id": 2, "eot_token_id": 300, "padding_token_id": 0, "add_bos_token": False,
                  "add_eos_token": True, "add_space_prefix": True}
        self.assertEqual({key: meta[f"tokenizer.ggml.{key}"] for key in wanted}, wanted)
        self.assertEqual([meta["tokenizer.chat_template"], meta["tokenizer.chat_template.tool_use"]], ["{{ a }}", "{{ b }}"])
        self.assertEqual(meta["tokenizer.ggml.tokens"][300:303], ["<|turn|>", "  x", "[C]"])
        self.assertEqual(meta["tokenizer.ggml.token_type"][300:303], [3, 4, 3])
        folder.files["chat_template.jinja"] = b"{{ c }}"
        self.assertEqual(Gguf(self.convert(folder)).metadata["tokenizer.chat_template"], "{{ c }}")

    def test_a_prefix_or_none(self):
        folder = self.folder().store("safetensors")
        folder.files["tokenizer.model"] = pieces_of(folder.gguf.metadata, dummy_prefix=0)
        self.assertEqual(Gguf(self.convert(folder)).metadata["tokenizer.ggml.add_space_prefix"], False)

    def test_tokenizers_that_are_refused(self):
        folder = self.folder().store("safetensors")
        del folder.files["tokenizer.model"]
        self.refuse(folder, "no tokenizer.json and no tokenizer.model")
        for changes, parts in (
                ({"model": {"type": "Unigram"}}, ("model.type", '"Unigram"', '"BPE"')),
                ({"model": {"vocab": {"a": 331}}}, ("model.vocab.a is 331", "below 331")),
                ({"model": {"merges": [["a"]]}}, ("model.merges", "element 0")),
                ({"model": {"merges": [["a", "\u00e9"]]}}, ("model.merges", "a\\xc3\\xa9")),
                ({"model": {"byte_fallback": False}}, ("type", '"Prepend"', '"NFC"')),
                ({"model": {"byte_fallback": False}, "normalizer": None}, ("pre_tokenizer", "0 patterns")),
                ({"normalizer": {"type": "Lowercase"}}, ("type", '"Lowercase"', '"Replace"')),
                ({"pre_tokenizer": {"type": "Whitespace"}}, ('"Whitespace"', '"Metaspace"')),
                ({"added_tokens": [{"id": 1}]}, ("no key content",)),
        ):
            with self.subTest(changes=changes):
                self.json_of(folder, **changes)
                self.refuse(folder, "tokenizer.json", *parts)
        for data, parts in ((pieces_of(folder.gguf.metadata, model_type=1), ("model type 1", "expected 2")),
                            (b"\x0a\xff\xff\xff\xff\x0f", ("bytes are left", "0 are left")[1:]),
                            (b"\x0a\x02\x0a\x00", ("a piece without a text",)),
                            (b"", ("no pieces",)), (b"\x0b", ("wire type 3",)), (b"\x00", ("field number",))):
            with self.subTest(data=data[:20]):
                folder = self.folder(name=f"m{len(data)}-{data[:1].hex()}").store("safetensors")
                folder.files["tokenizer.model"] = data
                self.refuse(folder, "tokenizer.model", *parts)


class Refused(Case):
    def test_configs(self):
        base = self.folder().store("safetensors")
        for changes, parts in (
                ({"architectures": ["GPT2LMHeadModel"]}, ("architectures", "GPT2LMHeadModel", "LlamaForCausalLM")),
                ({"architectures": None}, ("architectures is absent",)),
                ({"num_hidden_layers": 0}, ("num_hidden_layers is 0", "1 to 4096")),
                ({"num_hidden_layers": "2"}, ('num_hidden_layers is "2"',)),
                ({"num_hidden_layers": 3}, ("no tensor 'model.layers.2.input_layernorm.weight'",)),
                ({"num_hidden_layers": 1}, ("tensor 'model.layers.1.", "is none that a LlamaForCausalLM has")),
                ({"hidden_size": 128}, ("tensor 'model.embed_tokens.weight' is [331, 96], expected [331, 128]",)),
                ({"num_key_value_heads": 2}, ("num_key_value_heads is 2", "3 heads")),
                ({"vocab_size": 330}, ("more pieces than the 330 rows",)),
                ({"rms_norm_eps": None}, ("no key rms_norm_eps",)),
                ({"rms_norm_eps": 2.0}, ("rms_norm_eps is 2.0", "0 to 1")),
                ({"tie_word_embeddings": False}, ("no tensor 'lm_head.weight'",)),
                ({"hidden_act": "relu"}, ('hidden_act is "relu"', '"silu"')),
                ({"quantization_config": {}}, ("quantization_config", "no such key")),
                ({"rope_scaling": {"rope_type": "dynamic"}}, ("rope_scaling.rope_type", '"dynamic"', '"yarn"')),
                ({"rope_scaling": {"rope_type": "linear"}}, ("no key rope_scaling.factor",)),
                ({"use_sliding_window": True}, ("use_sliding_window",)),
        ):
            with self.subTest(changes=changes):
                folder = self.folder().store("safetensors")
                folder.config = {k: v for k, v in {**base.config, **changes}.items() if v is not None}
                self.refuse(folder, *parts)
        folder.files["config.json"] = b"{"
        folder.json = lambda *_: None
        self.refuse(folder, "config.json", "not valid JSON")
        os.remove(os.path.join(folder.path, "config.json"))
        del folder.files["config.json"]
        self.refuse(folder, "config.json", "No such file")

    def weights(self, name, data, *parts):
        with self.subTest(name=name, parts=parts):
            folder = self.folder(name=f"w{self.id()}{hash(parts)}")
            folder.files[name] = data
            self.refuse(folder, *parts)

    def test_safetensors(self):
        name = "model.safetensors"
        good = safetensors({"a": ([2], bytes(8))})

        def header(**changes):
            entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
            text = json.dumps({"a": entry}).encode()
            return struct.pack("<Q", len(text)) + text + bytes(8)

        self.weights(name, b"1234", "4 bytes, expected at least the 8")
        self.weights(name, good[:20], "a header of")
        self.weights(name, struct.pack("<Q", 2 ** 64 - 1) + good, "a header of 18446744073709551615 bytes")
        self.weights(name, struct.pack("<Q", 2) + b"[]", "expected an object")
        self.weights(name, struct.pack("<Q", 1) + b"{", "not valid JSON")
        self.weights(name, good[:-1], "tensor 'a': it ends at byte 8 of the data, which has 7")
        self.weights(name, header(dtype="F33"), "tensor 'a': unknown dtype 'F33'")
        self.weights(name, header(shape=[3]), "it has 8 bytes, expected 12 for F32 [3]")
        self.weights(name, header(shape=[2 ** 63, 2 ** 63]), "is too large")
        self.weights(name, header(shape=[-2]), "key a.shape")
        self.weights(name, header(data_offsets=[8, 0]), "key a.data_offsets")
        self.weights(name, header(data_offsets=[0]), "key a.data_offsets")
        self.weights(name, good, "no tensor 'model.embed_tokens.weight'")
        folder = self.folder()
        shape, data = folder.tensors["model.norm.weight"]
        for what, value in (("nan", float("nan")), ("inf", float("inf"))):
            folder.tensors["model.norm.weight"] = (shape, data[:-4] + struct.pack("<f", value))
            self.refuse(folder.store("safetensors"), "tensor 'model.norm.weight': value 95 is " + what)

    def test_pickles(self):
        name = "pytorch_model.bin"

        def pickle_of(data, **others):
            return zipped({"data.pkl": data, **others})

        good = torch_file({"a": ([2], bytes(8))})
        self.weights(name, b"\x80\x02}q\x00.", "too short for a zip file")
        self.weights(name, bytes(100), "no zip file")
        self.weights(name, good[:-30], "zip")
        self.weights(name, zipped({"x": b""}), "no zip entry 'data.pkl'")
        self.weights(name, zipped({"data.pkl": bytes(1000)}, method=zipfile.ZIP_DEFLATED), "compression method 8")
        self.weights(name, pickle_of(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."), "offset 2: global os.system")
        self.weights(name, pickle_of(b"\x80\x02cbuiltins\neval\n."), "global builtins.eval")
        self.weights(name, pickle_of(b"\x80\x02}i."), "offset 3: opcode 0x69")
        self.weights(name, pickle_of(b"\x80\x04}."), "protocol 4, expected 2")
        self.weights(name, pickle_of(b"\x80\x02]."), "is no dict")
        self.weights(name, pickle_of(b"\x80\x02}X\xff\xff\xff\x7fa"), "a text of 2147483647 bytes, but 1 are left")
        self.weights(name, pickle_of(b"\x80\x02}h\x07."), "offset 3: nothing is remembered under 7")
        self.weights(name, pickle_of(b"\x80\x02u."), "no mark")
        self.weights(name, pickle_of(b"\x80\x02R."), "empty stack")
        self.weights(name, pickle_of(b"\x80\x02"), "the file ends within an opcode")
        self.weights(name, pickle_of(b"\x80\x02}X\x01\x00\x00\x00aK\x01s."), "item 0 of the dict ('a') is no tensor")
        self.weights(name, pickle_of(b"\x80\x02K\x01Q."), "persistent id")
        self.weights(name, pickle_of(pickled({}), byteorder=b"big"), "'byteorder' is 'big'")
        self.weights(name, pickle_of(pickled({})), "no tensor 'model.embed_tokens.weight'")
        self.weights(name, good.replace(b"K\x02\x85", b"K\x03\x85"), "3 elements from 0 on, its storage has 2")
        self.weights(name, good.replace(b"K\x01\x85", b"K\x02\x85"), "strides [2] of shape [2]")
        self.weights(name, good.replace(b"archive/data/0", b"archive/data/1"), "no zip entry 'archive/data/0'")

    def test_folders(self):
        self.refuse(self.folder(), "no weights")
        folder = self.folder(name="two")
        folder.files["a.safetensors"] = folder.files["b.safetensors"] = safetensors(folder.tensors)
        self.refuse(folder, "2 files of weights (a.safetensors, b.safetensors, ...) and no index")
        del folder.files["b.safetensors"]
        os.remove(os.path.join(folder.path, "b.safetensors"))
        self.convert(folder)
        for change, parts in ((lambda m: m.update({"model.norm.weight": "../x.safetensors"}), ("weight_map.model.norm.weight", "../x")),
                              (lambda m: m.update({"model.norm.weight": 1}), ("weight_map.model.norm.weight is 1",)),
                              (lambda m: m.update({"model.norm.weight": "none.safetensors"}), ("none.safetensors", "No such file")),
                              (lambda m: m.update({"more": "model-00001-of-00003.safetensors"}), ("no tensor 'more'", "index.json"))):
            folder = self.folder(name=f"index{len(parts[0])}{parts[-1][:4]}").store("shards")
            index = json.loads(folder.files["model.safetensors.index.json"])
            change(index["weight_map"])
            folder.json("model.safetensors.index.json", index)
            self.refuse(folder, *parts)
        done = sluice("convert", self.path("nowhere"), "-o", self.path("x"))
        self.assertEqual((done.returncode, "nowhere/config.json" in done.stderr), (1, True), done.stderr)


if __name__ == "__main__":
    unittest.main()
