"""Turns a checked request into running generations: name resolved, prompt tokenised, lengths checked."""

import asyncio

from .adapters import AdapterRegistry
from .answers import Answer
from .chat import ChatTemplate
from .choices import Choice
from .errors import BadRequest, ContextLengthExceeded, UnsupportedParameter
from .generation import Generation
from .grammars import schema_grammar, tools_grammar
from .model import Model
from .native import api
from .protocol import CompletionRequest
from .scheduler import Scheduler

# Longer prompts are tokenised in a thread, not to hold up other requests' chunks.
_LONG_PROMPT = 8192
_DEFAULT_COMPLETION_TOKENS = 16


class Intake:
    """The way from a request to the scheduler; belongs to the event loop."""

    def __init__(self, model: Model, registry: AdapterRegistry, scheduler: Scheduler, ctx_size: int) -> None:
        self._registry = registry
        self._scheduler = scheduler
        self.limit = ctx_size
        self.model = model
        self.template = ChatTemplate(model)

    async def begin(self, request: CompletionRequest) -> tuple[Answer, list[Choice]]:
        """Starts a request's generations, with a reader for each; a HostError says why not."""
        adapter = self._registry.get(request.model)
        if self.model.makes_embeddings:
            raise BadRequest(f"The model `{request.model}` only makes embeddings.", param="model")
        prompts = await self._prompts(request)
        self._check_bias(request)
        grammar = await asyncio.to_thread(self._grammar, request) if _is_constrained(request) else None
        answer = Answer(self._scheduler, request.choices)
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
                    salt=request.salt,
                    grammar=grammar,
                    logprobs=request.logprobs,
                )
                for at, prompt in enumerate(prompts)
                for choice in range(request.choices)
            ]
        )
        return answer, self._choices(request, prompts)

    async def tokens(self, text: str, *, add_special: bool) -> list[int]:
        """Token ids of a text of any length."""
        if len(text) < _LONG_PROMPT:
            return self.model.tokenise(text, add_special=add_special)
        return await asyncio.to_thread(self.model.tokenise, text, add_special=add_special)

    async def _prompts(self, request: CompletionRequest) -> list[list[int]]:
        if request.messages is not None:
            # The template writes the special tokens itself.
            rendered = self.template.render(request.messages, request.tools)
            return [self._checked(await self.tokens(rendered, add_special=False))]
        if request.suffix is None:
            return [await self.prompt(prompt) for prompt in request.prompts or ()]
        return [await self._infill(prompt, request.suffix) for prompt in request.prompts or ()]

    async def prompt(self, given: str | list[int], *, param: str = "prompt") -> list[int]:
        """Token ids of a prompt as it was given; BadRequest if they are none, or not the model's."""
        tokens = await self.tokens(given, add_special=True) if isinstance(given, str) else given
        return self._checked(tokens, param)

    async def _infill(self, prompt: str | list[int], suffix: str) -> list[int]:
        if self.model.infill_tokens is None:
            raise UnsupportedParameter("This model cannot fill in text before a `suffix`.", param="suffix")
        before, after, middle = self.model.infill_tokens
        start = await self.tokens(prompt, add_special=False) if isinstance(prompt, str) else prompt
        return self._checked([before, *start, after, *await self.tokens(suffix, add_special=False), middle])

    def _checked(self, tokens: list[int], param: str = "prompt") -> list[int]:
        if not tokens:
            raise BadRequest("The prompt is empty.", param=param)
        if max(tokens) >= self.model.vocabulary_size:
            raise BadRequest(f"`{param}` holds a token id outside the vocabulary.", param=param)
        return tokens

    def _check_bias(self, request: CompletionRequest) -> None:
        if any(token >= self.model.vocabulary_size for token, _ in request.sampling.logit_bias):
            raise BadRequest("`logit_bias` names a token id outside the vocabulary.", param="logit_bias")

    def _grammar(self, request: CompletionRequest) -> str:
        """The grammar that the output must keep to, tried out before the compute thread meets it."""
        if request.tools is not None and request.tools.must_call:
            param, grammar = "tools", tools_grammar(request.tools, self.template.tool_style)
        else:
            assert request.response_format is not None  # noqa: S101 - one of the two is why this is called
            param = "response_format"
            grammar = schema_grammar(request.response_format.schema, param=param)
        try:
            api.llama_sampler_free(self.model.grammar_new(grammar))
        except ValueError as error:
            raise BadRequest(f"The schema in `{param}` cannot be enforced: {error}.", param=param) from error
        return grammar

    def _choices(self, request: CompletionRequest, prompts: list[list[int]]) -> list[Choice]:
        style = self.template.tool_style if request.tools is not None else None
        echoes = [""] * len(prompts)
        if request.echo:
            given = request.prompts or ()
            echoes = [one if isinstance(one, str) else self.model.text(one) for one in given]
        return [Choice(style, echo) for echo in echoes for _ in range(request.choices)]

    def _max_tokens(self, request: CompletionRequest, prompt_tokens: int) -> int:
        chat = request.messages is not None
        left = self.limit - prompt_tokens
        if left < 1:
            raise ContextLengthExceeded(
                f"This model's context is {self.limit} tokens, but the prompt has {prompt_tokens}; shorten it.",
                param="messages" if chat else "prompt",
            )
        if request.max_tokens is None:
            return left if chat else min(left, _DEFAULT_COMPLETION_TOKENS)
        if request.max_tokens > left:
            raise ContextLengthExceeded(
                f"This model's context is {self.limit} tokens, but the prompt has {prompt_tokens} and"
                f" {request.max_tokens} more were asked for; shorten one of them.",
                param="max_tokens",
            )
        return request.max_tokens


def _is_constrained(request: CompletionRequest) -> bool:
    return request.response_format is not None or (request.tools is not None and request.tools.must_call)
