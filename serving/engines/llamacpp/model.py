"""The base model in memory: its weights, its vocabulary, its metadata and the adapters loaded beside it."""

import ctypes
import threading
from pathlib import Path
from typing import Any

from .candidates import Candidates
from .errors import AdapterRefused, EngineFailed
from .native import api, error_lines
from .options import Options
from .q4_1 import speed_up_q4_1

# llama.cpp's numbers, by (mmap, mlock).
_LOAD_MODES = {(False, False): 0, (True, False): 1, (False, True): 2, (True, True): 3}


class ModelUnreadable(Exception):
    """The base model's file could not be loaded."""


class Model:
    """One loaded GGUF model.

    What only reads the vocabulary or the metadata may be called from any thread; everything else, and `candidates`,
    which sequences take turns with, belongs to the scheduler. `adapters_lock` guards the set of adapters.
    """

    def __init__(self, options: Options) -> None:
        # llama.cpp reads the set of adapters while it makes a context or first computes one with a new adapter.
        self.adapters_lock = threading.Lock()
        with error_lines() as errors:
            self.pointer: Any = api.llama_model_load_from_file(str(options.model).encode(), _params(options))
        if not self.pointer:
            raise ModelUnreadable(f"{options.model}: {_cause(errors)}")
        if options.q4_1_kernel:
            speed_up_q4_1(self.metadata("general.file_type"))
        self._vocab: Any = api.llama_model_get_vocab(self.pointer)
        self.vocabulary_size: int = api.llama_vocab_n_tokens(self._vocab)
        self.eog = frozenset(
            token for token in range(self.vocabulary_size) if api.llama_vocab_is_eog(self._vocab, token)
        )
        self.candidates = Candidates(self.vocabulary_size)
        self._pieces: dict[int, bytes] = {}

    @property
    def can_reuse_prefixes(self) -> bool:
        """Whether the cache of a sequence can be cut at any token; a recurrent state cannot."""
        return not (api.llama_model_is_recurrent(self.pointer) or api.llama_model_is_hybrid(self.pointer))

    @property
    def makes_embeddings(self) -> bool:
        """Whether the model was made for embeddings, and so not for text."""
        pooling = self.metadata(f"{self.metadata('general.architecture')}.pooling_type")
        return pooling not in (None, "0")

    @property
    def kv_widths(self) -> tuple[int, int]:
        """Values that one token keeps in the KV cache over all layers: keys, values."""
        architecture = self.metadata("general.architecture") or ""
        head = api.llama_model_n_embd(self.pointer) // max(1, api.llama_model_n_head(self.pointer))
        heads = api.llama_model_n_layer(self.pointer) * api.llama_model_n_head_kv(self.pointer)
        key, value = (self.metadata(f"{architecture}.attention.{name}_length") for name in ("key", "value"))
        return heads * int(key or head), heads * int(value or head)

    def grammar_new(self, text: str) -> Any:
        """A new sampler that keeps to a GBNF grammar; may be called from any thread. ValueError if it is none."""
        with error_lines() as errors:
            sampler = api.llama_sampler_init_grammar(self._vocab, text.encode(), b"root")
        if not sampler:
            raise ValueError(_cause(errors))
        return sampler

    def metadata(self, key: str) -> str | None:
        """A value of the file's metadata; None if it has no such key."""
        buffer = ctypes.create_string_buffer(4096)
        length = api.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return None if length < 0 else buffer.value.decode("utf-8", "replace")

    def context_new(self, params: Any) -> Any:
        """A new llama.cpp context; may be called from any thread. EngineFailed if there is no memory for it."""
        with self.adapters_lock, error_lines() as errors:
            pointer = api.llama_init_from_model(self.pointer, params)
        if not pointer:
            raise EngineFailed(f"llama.cpp could not create a context: {_cause(errors)}")
        return pointer

    def tokenise(self, text: str, *, add_special: bool) -> list[int]:
        """Token ids of a text. Special tokens written out in the text become themselves."""
        raw = text.encode()
        room = len(raw) + 8
        tokens = (ctypes.c_int32 * room)()
        count = api.llama_tokenize(self._vocab, raw, len(raw), tokens, room, add_special, True)
        if count < 0:
            tokens = (ctypes.c_int32 * -count)()
            count = api.llama_tokenize(self._vocab, raw, len(raw), tokens, -count, add_special, True)
        return tokens[:count]

    def piece(self, token: int) -> bytes:
        """The bytes a token adds to the output: possibly part of a character, empty for a control token."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._piece(token, special=False)
        return piece

    def special_text(self, name: str) -> str:
        """The text of the `bos` or `eos` token, empty if the model has none."""
        token = {"bos": api.llama_vocab_bos, "eos": api.llama_vocab_eos}[name](self._vocab)
        return "" if token < 0 else self.token_bytes(token).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """A token as it would be written in a prompt, control tokens included; possibly part of a character."""
        return self._piece(token, special=True)

    def text(self, tokens: list[int]) -> str:
        """The text that tokens stand for, control tokens included."""
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", "replace")

    @property
    def infill_tokens(self) -> tuple[int, int, int] | None:
        """The tokens before the prefix, the suffix and the middle to be filled in; None for a model without them."""
        tokens = (
            api.llama_vocab_fim_pre(self._vocab),
            api.llama_vocab_fim_suf(self._vocab),
            api.llama_vocab_fim_mid(self._vocab),
        )
        return None if min(tokens) < 0 else tokens

    def chat_template(self) -> str | None:
        """The model's own Jinja chat template, if it carries one."""
        template = api.llama_model_chat_template(self.pointer, None)
        return template.decode() if template else None

    def adapter_load(self, path: Path) -> Any:
        """Loads a GGUF LoRA beside the model and returns its pointer; AdapterRefused says why not."""
        with self.adapters_lock, error_lines() as errors:
            pointer = api.llama_adapter_lora_init(self.pointer, str(path).encode())
        # A failed load returns a NULL pointer object, which is not None.
        if not pointer:
            raise AdapterRefused(f"{path.name} is not a LoRA for this model: {_cause(errors)}")
        return pointer

    def adapter_free(self, pointer: Any) -> None:
        """Frees an adapter that no context has set any more."""
        with self.adapters_lock:
            api.llama_adapter_lora_free(pointer)

    def close(self) -> None:
        """Frees the weights; every context and adapter must be gone before."""
        api.llama_model_free(self.pointer)

    def _piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        length = api.llama_token_to_piece(self._vocab, token, buffer, 64, 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = api.llama_token_to_piece(self._vocab, token, buffer, -length, 0, special)
        return buffer.raw[:length]


def _params(options: Options) -> Any:
    params = api.llama_model_default_params()
    params.n_gpu_layers = options.n_gpu_layers
    params.split_mode = options.split_mode
    params.main_gpu = options.main_gpu
    params.load_mode = _LOAD_MODES[options.mmap, options.mlock]
    if options.tensor_split:
        room = api.llama_max_devices()
        if len(options.tensor_split) > room:
            raise ModelUnreadable(f"--tensor-split names {len(options.tensor_split)} devices; there are {room}.")
        params.tensor_split = (ctypes.c_float * room)(*options.tensor_split)
    return params


def _cause(errors: list[str]) -> str:
    # llama.cpp logs "function: cause"; the first line is the root of the others.
    return errors[0].partition(": ")[2] or errors[0] if errors else "llama.cpp gave no reason"
