"""The kernel of our own for Q4_1: equal to llama.cpp's to the last bit, or not used, and the log says why."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from demo_model import demo_model_path
from serving.engines.llamacpp import q4_1
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.q4_1 import kernel_compile, speed_up_q4_1

_MACHINE = platform.machine()
_IS_X86 = _MACHINE in ("x86_64", "AMD64")
_THEIRS = "Q4_1 is computed by llama.cpp's own kernel: "
# A thread's number, and how many there are.
_THREAD = (ctypes.c_int * 2)(0, 1)
on_x86 = pytest.mark.skipif(not _IS_X86, reason="the kernel is for x86")
# Prints a digest of the logits of prompts, whole and in parts, and of outputs of batches even and odd; logs to stderr.
_LOGITS = """
import hashlib, logging, sys
import numpy as np
from serving.engines.llamacpp.batch import Batch
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.options import options_parse
logging.basicConfig(level=logging.INFO, format="%(message)s")
shape = ("--ctx-size", "320", "--parallel", "3")
options = options_parse(["--model", sys.argv[1], *shape, *sys.argv[2:]])
model = Model(options)
context, batch, digest = Context(model, options), Batch(512), hashlib.sha256()
ends = [0, 0, 0]
for lengths in ((9, 9, 9), (1, 1, 0), (1, 1, 1), (0, 1, 0), (0, 300, 45)):
    batch.clear()
    rows = [
        batch.add(range(500 + 50 * at, 500 + 50 * at + length), position=ends[at], sequence=at, logits=True)
        for at, length in enumerate(lengths) if length
    ]
    ends = [end + length for end, length in zip(ends, lengths)]
    assert batch.decode(context.pointer) == 0
    for row in rows:
        logits = api.llama_get_logits_ith(context.pointer, row)
        digest.update(np.ctypeslib.as_array(logits, (model.vocabulary_size,)).tobytes())
print(digest.hexdigest())
"""
# A library that calls a function of llama.cpp's name through memory that is read-only once it is loaded.
_CALLER = """
#include <stdbool.h>
#include <stdint.h>
bool llamafile_sgemm(const int *p, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                     int64_t ldb, void *c, int64_t ldc, int at, int bt, int ct) { return false; }
bool calls(const int *thread, int type) {
    static char blocks[72], sums[8];
    return llamafile_sgemm(thread, 1, 2, 1, blocks, 1, blocks, 1, sums, 1, type, 9, 0);
}
"""


def _logits(*options: str, **environment: str) -> tuple[str, str]:
    """The digest, and what was logged of the kernel."""
    command = [sys.executable, "-c", _LOGITS, str(demo_model_path()), *options]
    ran = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True)
    return ran.stdout.strip(), "".join(line for line in ran.stderr.splitlines() if "Q4_1" in line)


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


@pytest.fixture
def kernels() -> int:
    """The address of llama.cpp's entry for the type."""
    api._lib.ggml_cpu_init()
    entry = api._lib.ggml_get_type_traits_cpu
    entry.restype = ctypes.c_void_p
    return int(entry(3))


@pytest.fixture
def caller(tmp_path: Path) -> Path:
    """The compiled library that calls a function of llama.cpp's name."""
    source, library = tmp_path / "caller.c", tmp_path / "caller.so"
    source.write_text(_CALLER)
    read_only = ("-Wl,-z,now", "-Wl,-z,relro", "-fno-ipa-icf", "-fsemantic-interposition")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", *read_only, "-o", library, source], check=True)
    return library


@pytest.mark.parametrize("threads", ["1", "2"])
def test_logits_are_those_of_llama_cpps_kernel_to_the_last_bit(threads: str) -> None:
    ours, said = _logits("--threads", threads)
    theirs, said_without = _logits("--threads", threads, "--no-q4-1-kernel")
    assert said == ("Q4_1 is computed by ours" if _IS_X86 else f"{_THEIRS}there is none of ours for {_MACHINE}")
    assert said_without == ""
    assert ours == theirs


@on_x86
def test_without_a_compiler_llama_cpps_kernel_does_it() -> None:
    theirs, said = _logits(CC="no-such-compiler")
    assert said == _THEIRS + "there is no C compiler"
    assert theirs == _logits("--no-q4-1-kernel")[0]


@on_x86
def test_a_processor_without_the_instructions_uses_llama_cpps_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc -mno-avx2")
    reason = q4_1._install.__wrapped__()
    assert reason is not None
    assert reason.startswith("the compiler failed: ")
    assert "error" in reason


@on_x86
def test_a_version_of_llama_cpp_that_is_not_known_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(q4_1, "_KNOWN", ("0.1.",))
    assert "ours does not know ggml 0." in str(q4_1._install.__wrapped__())


@on_x86
def test_a_version_of_llama_cpp_that_does_not_tell_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(q4_1, "api", SimpleNamespace(_lib=ctypes.CDLL(None)))
    assert "ggml_version" in str(q4_1._install.__wrapped__())


def test_another_processor_uses_llama_cpps_kernel(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(q4_1, "_install", q4_1._install.__wrapped__)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with caplog.at_level("INFO"):
        assert not speed_up_q4_1("3")
    assert caplog.messages == [_THEIRS + "there is none of ours for aarch64"]


def test_models_of_other_types_are_left_alone() -> None:
    assert not speed_up_q4_1("2")
    assert not speed_up_q4_1(None)


@on_x86
def test_it_is_not_used_where_llama_cpps_sums_are_others(caller: Path) -> None:
    @_DOT
    def other(n: int, sums: "ctypes._Pointer[ctypes.c_float]", *_: object) -> None:
        sums[0] = 0.5

    others = _Kernels(None, ctypes.cast(other, ctypes.c_void_p), 9, 1)
    library = ctypes.CDLL(str(caller))
    refused = kernel_compile().q4_1_install(library.calls, ctypes.addressof(others))
    assert refused == b"its sums are others than ours"
    assert not library.calls(_THREAD, 3)


@on_x86
def test_a_library_that_multiplies_no_matrices_is_left_alone(kernels: int) -> None:
    refused = kernel_compile().q4_1_install(ctypes.CDLL(None).getpid, kernels)
    assert refused == b"it calls no function for whole matrices"


@on_x86
def test_memory_that_is_read_only_is_so_again_afterwards(caller: Path, kernels: int) -> None:
    library = ctypes.CDLL(str(caller))
    read_only = _writable(caller)
    assert not library.calls(_THREAD, 3)

    assert kernel_compile().q4_1_install(library.calls, kernels) is None

    assert library.calls(_THREAD, 3)
    assert not library.calls(_THREAD, 2)
    assert _writable(caller) == read_only


@on_x86
def test_memory_that_may_not_be_written_to_is_left_alone(
    caller: Path, kernels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "refusing.c"
    refusing.write_text("int mprotect(void *at, unsigned long bytes, int rights) { return -1; }")
    monkeypatch.setenv("CC", f"cc -Wl,-Bsymbolic {refusing}")
    library = ctypes.CDLL(str(caller))
    assert kernel_compile().q4_1_install(library.calls, kernels) == b"its memory cannot be written to"
    assert not library.calls(_THREAD, 3)


def _writable(library: Path) -> list[str]:
    """The addresses at which a library's memory may be written to."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line.split()[0] for line in lines if line.endswith(str(library)) and line.split()[1].startswith("rw")]
