"""The rate that the host's compute loop can approach: llama_decode over one context per adapter in turn, nothing else.

Run by llamacpp.py in a process of its own; prints tokens per second.
"""

import argparse
import time
from pathlib import Path

from serving.engines.llamacpp.adapters import Adapter
from serving.engines.llamacpp.batch import Batch
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.options import options_parse

_PROMPT_TOKENS, _STEPS = 32, 64


def main() -> None:
    """Decodes `--streams` sequences of each adapter, a token each at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, action="append", required=True)
    parser.add_argument("--streams", type=int, required=True, help="of each adapter")
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    options = options_parse(
        [
            *("--model", str(given.model), "--ctx-size", "512", "--parallel", str(given.streams)),
            *("--threads", str(given.threads)),
        ]
    )
    model = Model(options)
    batch = Batch(options.batch_size)
    contexts = []
    for path in given.adapter:
        context = Context(model, options)
        context.bind(Adapter(path.stem, path, None, model.adapter_load(path)))
        contexts.append(context)
        _fill(batch, given.streams, 0, _PROMPT_TOKENS)
        assert batch.decode(context.pointer) == 0
    begun = time.perf_counter()
    for step in range(_STEPS):
        for context in contexts:
            _fill(batch, given.streams, _PROMPT_TOKENS + step, 1)
            assert batch.decode(context.pointer) == 0
    print(_STEPS * len(contexts) * given.streams / (time.perf_counter() - begun))


def _fill(batch: Batch, streams: int, position: int, tokens: int) -> None:
    batch.clear()
    for sequence in range(streams):
        batch.add([1000 + at for at in range(tokens)], position=position, sequence=sequence, logits=True)


if __name__ == "__main__":
    main()
