"""Gives llama.cpp a faster kernel for Q4_1 weights, where this machine can compile and run it."""

import ctypes
import functools
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import llama_cpp

from .native import api

_SOURCE = Path(__file__).with_name("q4_1.c")
# llama-cpp-python installs llama.cpp's headers beside the package: the layouts are those of the version that runs.
_HEADERS = Path(llama_cpp.__file__).parents[1] / "include"
_TYPE = 3  # ggml's number of Q4_1, and the file type of a model that is mostly of it
_COMPILE_SECONDS = 60

_log = logging.getLogger(__name__)


def speed_up_q4_1(file_type: str | None) -> bool:
    """Has this process compute models of this GGUF file type by pairs of tokens; whether it does.

    Logits stay the same to the last bit. To be called before anything is computed.
    """
    return file_type == str(_TYPE) and platform.machine() in ("x86_64", "AMD64") and _install()


@functools.cache
def _install() -> bool:
    try:
        kernels = api._lib.ggml_get_type_traits_cpu
        kernels.restype = ctypes.c_void_p
        is_faster = bool(kernel_compile().q4_1_by_pairs(kernels(_TYPE)))
    except (OSError, subprocess.SubprocessError, AttributeError) as error:
        _log.info("Q4_1 is computed by llama.cpp's own kernel: %s", error)
        return False
    _log.info("Q4_1 is computed by %s", "pairs of tokens" if is_faster else "llama.cpp's own kernel: ours differs")
    return is_faster


def kernel_compile() -> ctypes.CDLL:
    """The compiled kernel; OSError or SubprocessError if this machine has no compiler that can make it."""
    with tempfile.TemporaryDirectory(prefix="polygraft-") as folder:
        library = Path(folder) / "q4_1.so"
        # For the very processor that it runs on, which takes a third of a second.
        command = [*_compiler(), "-O3", "-march=native", "-shared", "-fPIC", f"-I{_HEADERS}", "-o", str(library)]
        subprocess.run([*command, str(_SOURCE)], check=True, capture_output=True, timeout=_COMPILE_SECONDS)
        kernel = ctypes.CDLL(str(library))
    kernel.q4_1_by_pairs.argtypes = [ctypes.c_void_p]
    return kernel


def _compiler() -> list[str]:
    chosen = shlex.split(os.environ.get("CC", ""))
    for name in [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(name[0]):
            return name
    raise OSError("there is no C compiler")
