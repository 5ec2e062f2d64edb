"""The rates that the host can approach: llama_decode over one context per adapter, with no sampling and no HTTP.

Run by llamacpp.py in a process of its own; prints tokens per second with the prompts' time and without it. Contexts are
computed in turn on all threads, or with `--side-by-side` each on one thread, as the host does it.
"""

import argparse
import threading
import time
from pathlib import Path

from serving.engines.llamacpp.batch import Batch
from serving.engines.llamacpp.contexts import Context
from serving.engines.llamacpp.generation import Adapter
from serving.engines.llamacpp.model import Model
from serving.engines.llamacpp.native import api
from serving.engines.llamacpp.options import Options, options_parse

# As in the benchmark's works.
_PROMPT_TOKENS, _STEPS = 24, 64


def main() -> None:
    """Decodes `--streams` sequences of each adapter, a token each at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, action="append", required=True)
    parser.add_argument("--streams", type=int, required=True, help="of each adapter")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--side-by-side", action="store_true")
    given = parser.parse_args()
    threads = 1 if given.side_by_side else given.threads
    lanes = given.threads if given.side_by_side else 1
    options = options_parse(
        [
            *("--model", str(given.model), "--ctx-size", "512", "--parallel", str(given.streams)),
            *("--threads", str(threads)),
        ]
    )
    model = Model(options)
    contexts = [_context(model, options, path) for path in given.adapter]
    begun = time.perf_counter()
    prompted: list[float] = []
    workers = [
        threading.Thread(target=_decode, args=(contexts[lane::lanes], options.batch_size, given.streams, prompted))
        for lane in range(lanes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ended = time.perf_counter()
    tokens = _STEPS * len(contexts) * given.streams
    print(tokens / (ended - begun), tokens / (ended - max(prompted)))


def _context(model: Model, options: Options, path: Path) -> Context:
    """One that has computed something, after which its memory is planned, and has forgotten it."""
    context = Context(model, options)
    context.bind(Adapter(path.stem, path, None, model.adapter_load(path)))
    batch = Batch(1)
    _fill(batch, 1, 0, 1)
    assert batch.decode(context.pointer) == 0
    api.llama_memory_clear(api.llama_get_memory(context.pointer), False)
    return context


def _decode(contexts: list[Context], batch_size: int, streams: int, prompted: list[float]) -> None:
    batch = Batch(batch_size)
    for step in range(_STEPS + 1):
        for context in contexts:
            if step:
                _fill(batch, streams, _PROMPT_TOKENS + step - 1, 1)
            else:
                _fill(batch, streams, 0, _PROMPT_TOKENS)
            assert batch.decode(context.pointer) == 0
        if not step:
            prompted.append(time.perf_counter())


def _fill(batch: Batch, streams: int, position: int, tokens: int) -> None:
    batch.clear()
    for sequence in range(streams):
        batch.add([1000 + at for at in range(tokens)], position=position, sequence=sequence, logits=True)


if __name__ == "__main__":
    main()
