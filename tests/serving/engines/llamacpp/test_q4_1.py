"""The kernel of our own for Q4_1: equal to llama.cpp's to the last bit, or not used."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from demo_model import demo_model_path
from serving.engines.llamacpp.batch import Batch
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.generation import Adapter, Generation
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.options import options_parse
from serving.engines.llamacpp.q4_1 import kernel_compile, speed_up_q4_1
from serving.engines.llamacpp.sampling import SamplingParams

_IS_X86 = platform.machine() in ("x86_64", "AMD64")
# Prints whether tokens are computed by pairs, and a digest of the logits of batches even and odd, prompts and outputs.
_LOGITS = """
import hashlib, sys
import numpy as np
from serving.engines.llamacpp.batch import Batch
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.options import options_parse
shape = ("--ctx-size", "64", "--threads", "2", "--parallel", "3")
options = options_parse(["--model", sys.argv[1], *shape, *sys.argv[2:]])
model = Model(options)
context, batch, digest = Context(model, options), Batch(64), hashlib.sha256()
for position, lengths in ((0, (9, 9, 9)), (9, (1, 1, 0)), (10, (1, 1, 0)), (11, (0, 1, 0)), (12, (0, 4, 0))):
    batch.clear()
    rows = [
        batch.add(range(500 + 50 * at, 500 + 50 * at + length), position=position, sequence=at, logits=True)
        for at, length in enumerate(lengths) if length
    ]
    assert batch.decode(context.pointer) == 0
    for row in rows:
        logits = api.llama_get_logits_ith(context.pointer, row)
        digest.update(np.ctypeslib.as_array(logits, (model.vocabulary_size,)).tobytes())
print(model.computes_pairs, digest.hexdigest())
"""


def _logits(*options: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", _LOGITS, str(demo_model_path()), *options]
    ran = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True)
    return ran.stdout.split()


class _Kernels(ctypes.Structure):
    """ggml's entry for a type."""

    _fields_ = (
        ("from_float", ctypes.c_void_p),
        ("vec_dot", ctypes.c_void_p),
        ("vec_dot_type", ctypes.c_int),
        ("nrows", ctypes.c_int64),
    )


_DOT = ctypes.CFUNCTYPE(
    *(None, ctypes.c_int, ctypes.POINTER(ctypes.c_float), ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t),
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
)


def test_logits_by_pairs_of_tokens_are_those_of_llama_cpps_kernel_to_the_last_bit() -> None:
    is_faster, ours = _logits()
    assert is_faster == str(_IS_X86)
    assert ours == _logits("--no-q4-1-pairs")[1]


def test_without_a_compiler_llama_cpps_kernel_does_it() -> None:
    is_faster, theirs = _logits(CC="no-such-compiler")
    assert is_faster == "False"
    assert theirs == _logits("--no-q4-1-pairs")[1]


def test_models_of_other_types_are_left_alone() -> None:
    assert not speed_up_q4_1("2")
    assert not speed_up_q4_1(None)


@pytest.mark.skipif(not _IS_X86, reason="the kernel is for x86")
def test_it_is_not_used_where_llama_cpps_sums_are_others() -> None:
    @_DOT
    def other(n: int, sums: "ctypes._Pointer[ctypes.c_float]", *_: object) -> None:
        sums[0] = 0.5

    kernels = _Kernels(None, ctypes.cast(other, ctypes.c_void_p), 9, 1)
    before = bytes(kernels)
    assert kernel_compile().q4_1_by_pairs(ctypes.addressof(kernels)) == 0
    assert bytes(kernels) == before


@pytest.mark.parametrize(("option", "size"), [("--q4-1-pairs", 22 if _IS_X86 else 21), ("--no-q4-1-pairs", 21)])
def test_a_step_of_an_odd_number_of_tokens_is_filled_up_and_leaves_nothing_behind(option: str, size: int) -> None:
    options = options_parse(["--model", str(demo_model_path()), "--ctx-size", "64", "--parallel", "1", option])
    model = Model(options)
    context, batch = Context(model, options), Batch(64)
    sequence = context.join(Generation(Adapter("base"), list(range(100, 121)), SamplingParams(0), 1, None))

    steps = context.fill(batch, [sequence], chunk=64)
    context.compute(batch, threads=1, threads_batch=1)

    assert (batch.size, len(steps[0].tokens), steps[0].row) == (size, 21, 20)
    assert len(sequence.slot.tokens) == 21
    assert api.llama_memory_seq_pos_max(api.llama_get_memory(context.pointer), 0) == 20
    context.leave(sequence)
    context.close()
    model.close()
