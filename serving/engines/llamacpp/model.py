"""The base model in memory: its weights, its vocabulary, its metadata and the adapters loaded beside it."""

import ctypes
from pathlib import Path
from typing import Any

from .errors import AdapterRefused
from .native import api, error_lines
from .options import Options


class ModelUnreadable(Exception):
    """The base model's file could not be loaded."""


class Model:
    """One loaded GGUF model.

    Tokenising and reading pieces only read the vocabulary and may be called from any thread; everything
    else belongs to the compute thread.
    """

    def __init__(self, options: Options) -> None:
        params = api.llama_model_default_params()
        params.n_gpu_layers = options.gpu_layers
        with error_lines() as errors:
            self.pointer: Any = api.llama_model_load_from_file(str(options.model).encode(), params)
        if not self.pointer:
            raise ModelUnreadable(f"{options.model}: {_cause(errors)}")
        self._vocab: Any = api.llama_model_get_vocab(self.pointer)
        self.vocabulary_size: int = api.llama_vocab_n_tokens(self._vocab)
        self.eog = frozenset(
            token for token in range(self.vocabulary_size) if api.llama_vocab_is_eog(self._vocab, token)
        )
        self._pieces: dict[int, bytes] = {}

    def tokenise(self, text: str, *, add_special: bool) -> list[int]:
        """Token ids of a prompt. Special tokens written out in the text become themselves."""
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
        return "" if token < 0 else self._piece(token, special=True).decode("utf-8", "replace")

    def chat_template(self) -> str | None:
        """The model's own Jinja chat template, if it carries one."""
        template = api.llama_model_chat_template(self.pointer, None)
        return template.decode() if template else None

    def adapter_load(self, path: Path) -> Any:
        """Loads a GGUF LoRA beside the model and returns its pointer; AdapterRefused says why not."""
        with error_lines() as errors:
            pointer = api.llama_adapter_lora_init(self.pointer, str(path).encode())
        # A failed load returns a NULL pointer object, which is not None.
        if not pointer:
            raise AdapterRefused(f"{path.name} is not a LoRA for this model: {_cause(errors)}")
        return pointer

    def adapter_free(self, pointer: Any) -> None:
        """Frees an adapter that no context has set any more."""
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


def _cause(errors: list[str]) -> str:
    # llama.cpp logs "function: cause"; the first line is the root of the others.
    return errors[0].partition(": ")[2] or errors[0] if errors else "llama.cpp gave no reason"
