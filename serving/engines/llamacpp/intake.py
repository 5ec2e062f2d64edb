"""Turns a checked request into running generations: name resolved, prompt tokenised, lengths checked."""

import asyncio

from .adapters import AdapterRegistry
from .answers import Answer
from .chat import ChatTemplate
from .errors import BadRequest, ContextLengthExceeded
from .generation import Generation
from .model import Model
from .protocol import CompletionRequest
from .scheduler import Scheduler

# Longer prompts are tokenised in a thread, not to hold up other requests' chunks.
_LONG_PROMPT = 8192
_DEFAULT_COMPLETION_TOKENS = 16


class Intake:
    """The way from a request to the scheduler; belongs to the event loop."""

    def __init__(self, model: Model, registry: AdapterRegistry, scheduler: Scheduler, ctx_size: int) -> None:
        self._model = model
        self._registry = registry
        self._scheduler = scheduler
        self._limit = ctx_size
        self._template = ChatTemplate(model)

    async def begin(self, request: CompletionRequest) -> Answer:
        """Starts a request's generations; a HostError says why not."""
        adapter = self._registry.get(request.model)
        prompts = await self._prompts(request)
        self._check_bias(request)
        answer = Answer(self._scheduler, sum(map(len, prompts)))
        answer.begin(
            [
                Generation(
                    adapter=adapter,
                    prompt=prompt,
                    sampling=request.sampling.for_choice(choice),
                    max_tokens=self._max_tokens(request, len(prompt)),
                    sink=answer,
                    index=at * request.choices + choice,
                    stops=request.stops,
                    ignore_eos=request.ignore_eos,
                    priority=request.priority,
                )
                for at, prompt in enumerate(prompts)
                for choice in range(request.choices)
            ]
        )
        return answer

    async def _prompts(self, request: CompletionRequest) -> list[list[int]]:
        if request.messages is not None:
            # The template writes the special tokens itself.
            return [await self._tokens(self._template.render(request.messages), add_special=False)]
        return [await self._tokens(prompt, add_special=True) for prompt in request.prompts or ()]

    async def _tokens(self, prompt: str | list[int], *, add_special: bool) -> list[int]:
        if not isinstance(prompt, str):
            tokens = prompt
        elif len(prompt) < _LONG_PROMPT:
            tokens = self._model.tokenise(prompt, add_special=add_special)
        else:
            tokens = await asyncio.to_thread(self._model.tokenise, prompt, add_special=add_special)
        if not tokens:
            raise BadRequest("The prompt is empty.", param="prompt")
        if max(tokens) >= self._model.vocabulary_size:
            raise BadRequest("`prompt` holds a token id outside the vocabulary.", param="prompt")
        return tokens

    def _check_bias(self, request: CompletionRequest) -> None:
        if any(token >= self._model.vocabulary_size for token, _ in request.sampling.logit_bias):
            raise BadRequest("`logit_bias` names a token id outside the vocabulary.", param="logit_bias")

    def _max_tokens(self, request: CompletionRequest, prompt_tokens: int) -> int:
        chat = request.messages is not None
        left = self._limit - prompt_tokens
        if left < 1:
            raise ContextLengthExceeded(
                f"This model's context is {self._limit} tokens, but the prompt has {prompt_tokens}; shorten it.",
                param="messages" if chat else "prompt",
            )
        if request.max_tokens is None:
            return left if chat else min(left, _DEFAULT_COMPLETION_TOKENS)
        if request.max_tokens > left:
            raise ContextLengthExceeded(
                f"This model's context is {self._limit} tokens, but the prompt has {prompt_tokens} and"
                f" {request.max_tokens} more were asked for; shorten one of them.",
                param="max_tokens",
            )
        return request.max_tokens
