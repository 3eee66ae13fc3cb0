# SPDX-License-Identifier: Apache-2.0
"""Model folders as on Hugging Face, made of synthetic GGUF files: what the conversion does is undone here, by
other means, so that the conversion of a folder must give the bytes of the file again."""

import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile

from programs import sluice, sluice_json

FAMILIES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "phi3": "Phi3ForCausalLM",
            "gemma": "GemmaForCausalLM", "gemma2": "Gemma2ForCausalLM", "gemma3": "Gemma3ForCausalLM"}
LAYER = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_qkv": "self_attn.qkv_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "attn_output": "self_attn.o_proj", "post_attention_norm": "post_attention_layernorm",
         "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "post_ffw_norm": "post_feedforward_layernorm"}
TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
       "output.weight": "lm_head.weight"}


class Gguf:
    """Metadata and tensors (type, shape, bytes) of a GGUF file."""

    def __init__(self, path):
        shown = sluice_json("inspect", path, "--json")
        self.metadata = {key: v["value"] for key, v in shown["metadata"].items()}
        with open(path, "rb") as file:
            data = file.read()[shown["data_offset"]:]
        self.tensors = {t["name"]: (t["type"], t["shape"], data[t["offset"]:t["offset"] + t["bytes"]]) for t in shown["tensors"]}


def source_name(name, architecture):
    if name in TOP:
        return TOP[name]
    _, i, part, kind = name.split(".")
    source = LAYER[part]
    if part == "ffn_norm" and architecture in ("gemma2", "gemma3"):
        source = "pre_feedforward_layernorm"
    if part == "ffn_up" and architecture == "phi3":
        source = "mlp.gate_up_proj"
    return f"model.layers.{i}.{source}.{kind}"


def halves_apart(data, n_heads, row_bytes):
    """Rows of pairs side by side, as GGUF's llama has them, with the first of all pairs in front, as transformers has them."""
    rows = [data[i:i + row_bytes] for i in range(0, len(data), row_bytes)]
    head_dim = len(rows) // n_heads
    out = []
    for head in range(n_heads):
        own = rows[head * head_dim:(head + 1) * head_dim]
        out += own[0::2] + own[1::2]
    return b"".join(out)


def tensors_of(gguf, architecture):
    """name -> (shape, slowest dimension first; bytes of F32)."""
    out = {}
    for name, (kind, shape, data) in gguf.tensors.items():
        assert kind == "F32", name
        if name.startswith("rope_"):
            continue
        if architecture == "llama" and ".attn_q." in name or architecture == "llama" and ".attn_k." in name:
            key = "head_count" if ".attn_q." in name else "head_count_kv"
            data = halves_apart(data, gguf.metadata[f"llama.attention.{key}"], 4 * shape[0])
        if architecture.startswith("gemma") and "norm" in name:
            # Exact, and so is adding the 1 again: the values are between 0.5 and 2.
            values = struct.unpack(f"<{len(data) // 4}f", data)
            data = struct.pack(f"<{len(values)}f", *(v - 1 for v in values))
        out[source_name(name, architecture)] = (shape[::-1], data)
    return out


def config_of(gguf, architecture):
    def of(key, otherwise=None):
        return gguf.metadata.get(f"{architecture}.{key}", otherwise)

    tied = "output.weight" not in gguf.tensors
    config = {
        "architectures": [FAMILIES[architecture]], "num_hidden_layers": of("block_count"), "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"), "num_attention_heads": of("attention.head_count"),
        "num_key_value_heads": of("attention.head_count_kv"), "head_dim": of("attention.key_length"),
        "max_position_embeddings": of("context_length"), "rms_norm_eps": of("attention.layer_norm_rms_epsilon"),
        "rope_theta": of("rope.freq_base"), "vocab_size": len(gguf.metadata["tokenizer.ggml.tokens"]), "tie_word_embeddings": tied,
        "sliding_window": of("attention.sliding_window"), "attn_logit_softcapping": of("attn_logit_softcapping"),
        "final_logit_softcapping": of("final_logit_softcapping"), "rope_scaling": None,
        "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2,
    }
    return {key: value for key, value in config.items() if value is not None}


# --- tokenizer.model ---------------------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def pieces_of(metadata, model_type=2, dummy_prefix=1):
    out = b""
    for text, score, kind in zip(*(metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type"))):
        out += field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind))
    return out + field(2, b"\x18" + varint(model_type)) + field(3, b"\x18" + varint(dummy_prefix))


# --- weights -----------------------------------------------------------------------------------------

def safetensors(tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, data in tensors.values())


class Storage:
    def __init__(self, key, n):
        self.key, self.n = key, n


class Tensor:
    def __init__(self, storage, offset, shape):
        self.storage, self.offset, self.shape = storage, offset, tuple(shape)

    def __reduce__(self):
        import collections
        strides, n = [], 1
        for size in reversed(self.shape):
            strides.insert(0, n)
            n *= size
        return (sys.modules["torch._utils"]._rebuild_tensor_v2,
                (self.storage, self.offset, self.shape, tuple(strides), False, collections.OrderedDict()))


def torch_modules():
    """Names that a pickle may refer to, and nothing behind them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*_):
        raise NotImplementedError

    rebuild.__module__, rebuild.__name__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    torch._utils = utils
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    sys.modules.update({"torch": torch, "torch._utils": utils})


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", sys.modules["torch"].FloatStorage, obj.key, "cpu", obj.n)
        return None


def pickled(state):
    import collections
    torch_modules()
    out = io.BytesIO()
    # A dict with an attribute, as state_dict() gives it.
    state = collections.OrderedDict(state)
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    Pickler(out, protocol=2).dump(state)
    return out.getvalue()


def zipped(entries, zip64=False, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    limit = zipfile.ZIP64_LIMIT
    zipfile.ZIP64_LIMIT = 0 if zip64 else limit
    try:
        with zipfile.ZipFile(out, "w", method) as file:
            for name, data in entries.items():
                file.writestr("archive/" + name, data)
    finally:
        zipfile.ZIP64_LIMIT = limit
    return out.getvalue()


def torch_file(tensors, zip64=False):
    """Two tensors share each storage, so that offsets are not 0."""
    state, storages = {}, []
    for i, (name, (shape, data)) in enumerate(tensors.items()):
        if i % 2 == 0:
            storages.append(b"")
        state[name] = (len(storages) - 1, len(storages[-1]) // 4, shape)
        storages[-1] += data
    shared = [Storage(str(i), len(data) // 4) for i, data in enumerate(storages)]
    state = {name: Tensor(shared[i], offset, shape) for name, (i, offset, shape) in state.items()}
    entries = {"data.pkl": pickled(state), "byteorder": b"little", "version": b"3\n"}
    entries.update({f"data/{i}": data for i, data in enumerate(storages)})
    return zipped(entries, zip64)


class Folder:
    """A folder in the making; write() puts it on the disk."""

    def __init__(self, path, architecture, preset_file):
        self.path, self.gguf = path, Gguf(preset_file)
        self.architecture = architecture
        self.config = config_of(self.gguf, architecture)
        self.tensors = tensors_of(self.gguf, architecture)
        self.files = {"tokenizer.model": pieces_of(self.gguf.metadata, dummy_prefix=1)}
        self.json("tokenizer_config.json", {"add_bos_token": True})

    def json(self, name, value):
        self.files[name] = json.dumps(value).encode()

    def store(self, how):
        names = list(self.tensors)
        if how == "safetensors":
            self.files["model.safetensors"] = safetensors(self.tensors)
        elif how in ("torch", "zip64"):
            self.files["pytorch_model.bin"] = torch_file(self.tensors, how == "zip64")
        elif how in ("shards", "torch-shards"):
            suffix, write = ("safetensors", safetensors) if how == "shards" else ("bin", torch_file)
            stem = "model" if how == "shards" else "pytorch_model"
            files, where = [names[0::3], names[1::3], names[2::3]], {}
            for i, part in enumerate(files):
                name = f"{stem}-{i + 1:05}-of-{len(files):05}.{suffix}"
                self.files[name] = write({n: self.tensors[n] for n in part})
                where.update({n: name for n in part})
            self.json(f"{stem}.{suffix}.index.json", {"metadata": {}, "weight_map": where})
        else:
            raise ValueError(how)
        return self

    def write(self):
        self.json("config.json", self.config)
        os.makedirs(self.path, exist_ok=True)
        for name, data in self.files.items():
            with open(os.path.join(self.path, name), "wb") as file:
                file.write(data)
        return self.path


def synthetic(path, architecture, rope="none"):
    done = sluice("synth", "--preset", "tiny", "--arch", architecture, "--type", "F32", "--rope", rope, "-o", path)
    assert done.returncode == 0, done.stderr
    return path
