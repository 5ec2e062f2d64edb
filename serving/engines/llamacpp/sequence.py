"""A running generation: what is computed, what is pending, and the text it has come to."""

import time
from collections.abc import Sequence as Tokens

from .detokenise import Detokeniser
from .generation import FinishReason, Generation, Piece
from .model import Model
from .sampling import Sampler


class Sequence:
    """One sequence of a context, from its prompt's first token to its output's last."""

    def __init__(self, id: int, generation: Generation, model: Model, *, limit: int) -> None:
        self.id = id
        self.generation = generation
        self.pending: Tokens[int] = generation.prompt
        self.in_prompt = True
        self._model = model
        self._computed = 0
        self._produced = 0
        self._detokeniser = Detokeniser(generation.stops)
        self._sampler = Sampler(
            generation.sampling,
            prompt=generation.prompt,
            limit=limit,
            banned=model.eog if generation.ignore_eos else frozenset(),
            vocabulary_size=model.vocabulary_size,
        )

    def take(self, room: int) -> tuple[Tokens[int], int]:
        """Up to `room` pending tokens and the position of the first; they count as computed from now on."""
        tokens, position = self.pending[:room], self._computed
        self.pending = self.pending[room:]
        self._computed += len(tokens)
        return tokens, position

    def sample(self, context: object, row: int) -> Piece | None:
        """Picks the next token; the piece of output that it completes, if any."""
        token = self._sampler.sample(context, row)
        if self.in_prompt:
            self.in_prompt = False
            self.generation.first_token = time.monotonic()
        self._produced += 1
        self.pending = (token,)
        finish: FinishReason | None = None
        if token in self._model.eog:
            text, finish = self._detokeniser.flush(), "stop"
        else:
            text = self._detokeniser.push(self._model.piece(token))
            if self._detokeniser.stopped:
                finish = "stop"
            elif self._produced >= self.generation.max_tokens:
                text, finish = text + self._detokeniser.flush(), "length"
        if not text and finish is None:
            return None
        return Piece(text, self._produced, finish)

    def close(self) -> None:
        """Frees the sampler."""
        self._sampler.close()
