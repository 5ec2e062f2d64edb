"""A running generation: what is computed, what is pending, and the text it has come to."""

from .detokenise import Detokeniser
from .generation import FinishReason, Generation, Piece
from .logprobs import TokenLogprobs, logprobs_of
from .model import Model
from .sampler import Sampler
from .slots import Slot


class Sequence:
    """One sequence of a context, from its prompt's first uncomputed token to its output's last."""

    def __init__(self, slot: Slot, generation: Generation, model: Model, *, limit: int) -> None:
        """The slot holds the first `generation.cached` tokens of the prompt."""
        self.slot = slot
        self.generation = generation
        self.pending = generation.prompt[generation.cached :]
        self.in_prompt = True
        self.is_unwanted = False
        self._model = model
        self._computed = generation.cached
        self._produced = 0
        self._detokeniser = Detokeniser(generation.stops)
        self._logprobs: list[TokenLogprobs] = []
        self._sampler = Sampler(
            generation.sampling,
            model,
            prompt=generation.prompt,
            limit=limit,
            banned=model.eog if generation.ignore_eos else frozenset(),
            grammar=generation.grammar,
        )

    def take(self, room: int) -> tuple[list[int], int]:
        """Up to `room` pending tokens and the position of the first; they count as computed from now on."""
        tokens, position = self.pending[:room], self._computed
        self.pending = self.pending[room:]
        self._computed += len(tokens)
        return tokens, position

    def sample(self, context: object, row: int) -> Piece | None:
        """Picks the next token; the piece of output that it completes, if any."""
        logits = self._sampler.logits(context, row)
        token = self._sampler.pick(logits)
        self.in_prompt = False
        self._produced += 1
        self.pending = [token]
        if self.generation.logprobs is not None:
            self._logprobs.append(logprobs_of(logits, token, self.generation.logprobs))
        finish: FinishReason | None = None
        if token in self._model.eog and not self.generation.ignore_eos:
            text, finish = self._detokeniser.flush(), "stop"
        else:
            self._sampler.accept(token)
            text = self._detokeniser.push(self._model.piece(token))
            if self._detokeniser.stopped:
                finish = "stop"
            elif self._produced >= self.generation.max_tokens:
                text, finish = text + self._detokeniser.flush(), "length"
        if not text and finish is None:
            return None
        logprobs, self._logprobs = tuple(self._logprobs), []
        return Piece(text, self._produced, finish, logprobs)

    def close(self) -> None:
        """Frees the sampler."""
        self._sampler.close()
