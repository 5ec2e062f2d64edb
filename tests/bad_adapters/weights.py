"""Bad adapters whose weights are at fault."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from adapter_factory import SmallAdapter, tensor_name, with_header
from bad_adapters.evil import WEIGHTS, Evil, mended, rewritten

Q_A, Q_B = tensor_name("self_attn.q_proj", "A"), tensor_name("self_attn.q_proj", "B")
_HEADER = 8


def _called(name: str, *, pair: bool = False) -> Evil:
    """One more tensor by this name, and its B if it would be taken for an A."""

    def change(adapter: SmallAdapter) -> None:
        adapter.tensors[name] = adapter.tensors[Q_A]
        if pair:
            adapter.tensors[name.replace("lora_A", "lora_B")] = adapter.tensors[Q_B]

    return Evil(f"a tensor called {name}", mended(change), "names", name[:60])


# Of rank 4, as the good adapter is.
def _of_shape(what: str, shape: tuple[int, ...], check: str, words: str) -> Evil:
    return Evil(what, mended(lambda adapter: adapter.tensors.update({Q_A: np.ones(shape)})), check, words)


def _header(change: dict[str, object]) -> Callable[[Path], object]:
    """How to change the header's entry for one tensor."""

    def rewrite(content: bytes) -> bytes:
        length = int.from_bytes(content[:_HEADER], "little")
        header = json.loads(content[_HEADER : _HEADER + length])
        header[Q_A] |= change
        return with_header(json.dumps(header).encode(), content[_HEADER + length :])

    return rewritten(WEIGHTS, rewrite)


def _begun(head: bytes) -> Callable[[Path], object]:
    return rewritten(WEIGHTS, lambda content: head + content[len(head) :])


WEIGHTS_AT_FAULT = [
    Evil("a missing B", mended(lambda adapter: adapter.tensors.pop(Q_B)), "pairs", f"{Q_B} is missing"),
    Evil("a missing A", mended(lambda adapter: adapter.tensors.pop(Q_A)), "pairs", f"{Q_A} is missing"),
    Evil("no tensors", mended(lambda adapter: adapter.tensors.clear()), "names", "no tensors"),
    _called(tensor_name("self_attn.q_proj", "A", layer=99), pair=True),
    _called("base_model.model.model.layers.0.self_attn.wqkv.lora_A.weight", pair=True),
    _called("base_model.model.model.embed_tokens.lora_A.weight", pair=True),
    _called("base_model.model.lm_head.lora_A.weight", pair=True),
    _called("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"),
    _called("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"),
    _called("model.layers.0.self_attn.q_proj.lora_A.weight"),
    _called("base_model.model.model.layers.0.../../../etc/passwd.lora_A.weight", pair=True),
    _of_shape("a tensor of a wider model", (4, 960), "shape", "(4, 960)"),
    _of_shape("a tensor of a narrower model", (4, 288), "shape", "(4, 288)"),
    _of_shape("a tensor turned round", (576, 4), "shape", "(576, 4)"),
    _of_shape("a flat tensor", (2304,), "shape", "(2304)"),
    _of_shape("a tensor of three dimensions", (4, 576, 1), "shape", "(4, 576, 1)"),
    _of_shape("another rank than the configuration's", (8, 576), "rank", "(8, 576)"),
    _of_shape("an empty tensor", (0, 576), "rank", "(0, 576)"),
    Evil("NaN", mended(lambda adapter: adapter.tensors[Q_A].fill(np.nan)), "finite", f"{Q_A} holds numbers"),
    Evil("infinity", mended(lambda adapter: adapter.tensors[Q_B].fill(np.inf)), "finite", f"{Q_B} holds numbers"),
    Evil("float64", mended(lambda adapter: adapter.dtypes.update({Q_A: "F64"})), "dtype", "the type F64"),
    Evil("int8", mended(lambda adapter: adapter.dtypes.update({Q_A: "I8"})), "dtype", "the type I8"),
    Evil("mixed types", mended(lambda adapter: adapter.dtypes.update({Q_A: "F32"})), "dtype", "different types"),
    Evil("an empty file", rewritten(WEIGHTS, lambda _: b""), "files", "is empty"),
    Evil("seven bytes", rewritten(WEIGHTS, lambda content: content[:7]), "safetensors", "7 bytes"),
    Evil("a file that is cut off", rewritten(WEIGHTS, lambda content: content[:-9]), "safetensors", "truncated"),
    Evil("bytes after the end", rewritten(WEIGHTS, lambda content: content + b"!"), "safetensors", "no tensor"),
    Evil("a header of an exabyte", _begun((2**60).to_bytes(8, "little")), "safetensors", str(2**60)),
    Evil("a header that is no JSON", _begun((64).to_bytes(8, "little") + b"~" * 64), "safetensors", "not valid JSON"),
    Evil(
        "a header that is a list",
        rewritten(WEIGHTS, lambda _: with_header(b"[1, 2]", b"")),
        "safetensors",
        "not a JSON object",
    ),
    Evil(
        "a header with a name twice",
        rewritten(WEIGHTS, lambda _: with_header(b'{"a": 1, "a": 2}', b"")),
        "safetensors",
        "name appears twice",
    ),
    Evil("an entry that is no object", _header({"data_offsets": "0-100"}), "safetensors", "malformed"),
    Evil("offsets that go backwards", _header({"data_offsets": [4608, 0]}), "safetensors", "-4608"),
    Evil("offsets that are a truth value", _header({"data_offsets": [False, 4608]}), "safetensors", "malformed"),
    Evil(
        "metadata that is no text",
        rewritten(WEIGHTS, lambda content: with_header(b'{"__metadata__": {"a": 1}}', b"")),
        "safetensors",
        "__metadata__",
    ),
    Evil("offsets into another tensor", _header({"data_offsets": [2, 4610]}), "safetensors", "a hole before it"),
    Evil("an unknown type", _header({"dtype": "F128"}), "safetensors", "F128"),
    Evil("a size of 2 to the 60", _header({"shape": [2**60, 576]}), "safetensors", "impossible shape"),
    Evil("a size below zero", _header({"shape": [-4, -576]}), "safetensors", "impossible"),
    Evil("a shape of another size", _header({"shape": [4, 577]}), "safetensors", "4616"),
    *(
        Evil(f"disguised: {what}", _begun(head), "disguise", what)
        for head, what in (
            (b"\x80\x02}q\x00X\x05\x00\x00", "pickle"),
            (b"PK\x03\x04", "zip"),
            (b"\x1f\x8b", "gzip"),
            (b"GGUF", "GGUF"),
            (b"\x7fELF", "program"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        )
    ),
]
