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

# Versions of ggml whose calls the kernel knows: their sources were read.
_KNOWN = ("0.25.", "0.26.")

_log = logging.getLogger(__name__)


def speed_up_q4_1(file_type: str | None) -> bool:
    """Has this process compute models of this GGUF file type by a kernel of our own; whether it does.

    Logits stay the same to the last bit. To be called before anything is computed.
    """
    if file_type != str(_TYPE):
        return False
    reason = _install()
    _log.info("Q4_1 is computed by %s", f"llama.cpp's own kernel: {reason}" if reason else "ours")
    return reason is None


@functools.cache
def _install() -> str | None:
    """None if the kernel is in use now, or else why not."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"there is none of ours for {platform.machine()}"
    try:
        library = api._lib
        library.ggml_version.restype = ctypes.c_char_p
        version = library.ggml_version().decode()
        if not version.startswith(_KNOWN):
            return f"ours does not know ggml {version}"
        # Its kernels read tables that are made here, if nothing was computed before.
        library.ggml_cpu_init()
        kernels = library.ggml_get_type_traits_cpu
        kernels.restype = ctypes.c_void_p
        refused = kernel_compile().q4_1_install(kernels, kernels(_TYPE))
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").splitlines()
        return f"the compiler failed: {next((line for line in lines if 'error' in line), 'it does not say why')}"
    except (OSError, subprocess.SubprocessError, AttributeError) as error:
        return str(error)
    return refused.decode() if refused else None


def kernel_compile() -> ctypes.CDLL:
    """The compiled kernel; OSError or SubprocessError if this machine has no compiler that can make it."""
    with tempfile.TemporaryDirectory(prefix="polygraft-") as folder:
        library = Path(folder) / "q4_1.so"
        # For the very processor that it runs on, which takes a third of a second.
        command = [*_compiler(), "-O3", "-march=native", "-shared", "-fPIC", f"-I{_HEADERS}", "-o", str(library)]
        subprocess.run([*command, str(_SOURCE)], check=True, capture_output=True, timeout=_COMPILE_SECONDS)
        kernel = ctypes.CDLL(str(library))
    kernel.q4_1_install.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    kernel.q4_1_install.restype = ctypes.c_char_p
    return kernel


def _compiler() -> list[str]:
    chosen = shlex.split(os.environ.get("CC", ""))
    for name in [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(name[0]):
            return name
    raise OSError("there is no C compiler")
