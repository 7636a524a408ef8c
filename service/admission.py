"""Admission: from a well-formed request to a spec, or a typed refusal. Defaults, limits, the seed, the prompt filter."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from contract.catalog import ALIASES, ModelInfo
from contract.errors import (
    ContentBlocked,
    InvalidParameter,
    InvalidPrompt,
    InvalidSize,
    JobNotEnded,
    OperationMissing,
    PartMissing,
    PromptEmpty,
    PromptTooLong,
    UnknownModel,
    UnsupportedParameter,
)
from contract.record import JobRecord
from contract.spec import (
    LOCAL_KEY,
    OUTPUT_FORMATS,
    SEEDS,
    SIZES,
    AnySpec,
    Decoder,
    OutputFormat,
    Prior,
    Size,
    Spec,
)
from service.drawing import PictureRequest
from service.prompt_guard import PromptGuard

Value = TypeVar("Value")
Room = Callable[[], Awaitable[None]]

KNOWN_ELSEWHERE = ("gif", "svg")
"""File formats of OpenAI's API that this service does not write."""

ENCODER, INPAINTING = "an image encoder", "a decoder with inpainting channels"
"""What operations need beside what draws from a prompt."""

REFUSED_CATEGORIES = ("Cc", "Cs")
"""Control characters, and halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""


class Admission:
    """Decides what may be drawn. Touches neither queue nor store: a refusal leaves no trace."""

    def __init__(self, model: ModelInfo, prompt_filter: PromptGuard, max_prompt_characters: int) -> None:
        self.model = model
        self.prompt_filter = prompt_filter
        self.max_prompt_characters = max_prompt_characters

    async def draft(self, request: PictureRequest, key_id: str = LOCAL_KEY, is_room: Room | None = None) -> Callable[..., Spec]:
        """Return the spec of `request` with every default resolved, but for its pictures: called with these, it is the spec.

        key_id: the caller's key, which will own the job. is_room: raises where the job would be refused anyhow; asked before
        the filter has to read something new, the dearest part. Raises a RequestError that names the field at fault,
        ContentBlocked, or OperationMissing.
        """
        words, draft = self._form(request, key_id)
        new = [text for text in words.values() if not self.prompt_filter.remembers(text)]
        if new:
            if is_room is not None:
                await is_room()
            await self.prompt_filter.read(new)
        for param, text in words.items():
            verdict = self.prompt_filter.check(text)
            if not verdict.allowed:
                raise ContentBlocked(verdict.categories, scores=verdict.scores, param=param)
        return draft

    def _form(self, request: PictureRequest, key_id: str) -> tuple[Mapping[str, str], Callable[..., Spec]]:
        """Return the words of a request by field, and its draft, which nobody may have before the words are judged."""
        self._check_model(request.model)
        self._check_operation(request.makes.model_fields["operation"].default)
        words = {param: self.checked_words(text, param) for param, text in request.words}
        asked, makes = type(request).model_fields, request.makes.model_fields
        named = {name for name in makes if name in asked} - {"operation"}
        fields = {name: _frozen(value) for name in named if (value := getattr(request, name)) is not None}
        resolved = {**fields, **self._resolved(request), **{name: text for name, text in words.items() if name in named}}
        wanted = {name: value for name, value in resolved.items() if name in makes}
        return words, partial(request.makes, **wanted, key=key_id)

    async def admit_again(self, job: JobRecord) -> AnySpec:
        """Return the spec of an ended job for another try: the same seed, under the filter and the model of today.

        Raises JobNotEnded for one that waits or runs, UnknownModel, or ContentBlocked.
        """
        if not job.state.is_terminal:
            raise JobNotEnded(job.id, job.state)
        self._check_model(job.spec.model)
        await self.prompt_filter.read(job.spec.words)
        for words in job.spec.words:
            verdict = self.prompt_filter.check(words)
            if not verdict.allowed:
                raise ContentBlocked(verdict.categories, scores=verdict.scores)
        return job.spec.model_copy(update={"retried_from": job.id})

    def _resolved(self, request: PictureRequest) -> dict[str, Any]:
        """Return what has a default of the model's, or is checked against what is offered here."""
        defaults = {**self.model.defaults.model_dump(), **request.makes.own_defaults}
        return {
            "model": self.model.name,
            "size": self._checked_size(request),
            "output_format": _checked_format(request.output_format),
            "seed": _or(request.seed, secrets.randbelow(SEEDS)),
            "prior": self._checked_prior(getattr(request, "prior", None)),
            "decoder": self._checked_decoder(request.decoder),
            **{name: _or(getattr(request, name, None), value) for name, value in defaults.items()},
            "user": request.end_user,
        }

    def _check_operation(self, operation: str) -> None:
        if operation not in self.model.operations:
            raise OperationMissing(operation, INPAINTING if operation == "inpaint" else ENCODER)

    def _check_model(self, name: str | None) -> None:
        if not self.model.answers_to(name):
            raise UnknownModel(str(name), [self.model.name, *ALIASES])

    def _checked_size(self, request: PictureRequest) -> Size:
        size = _or(request.size, request.default_size or SIZES[0])
        if size not in SIZES:
            raise InvalidSize(size, SIZES)
        return cast(Size, size)

    def _checked_prior(self, prior: Prior | None) -> Prior:
        if prior is None:
            return "diffusion"
        if prior not in self.model.priors:
            raise PartMissing("prior", prior, f"the {prior} prior", self.model.priors)
        return prior

    def _checked_decoder(self, decoder: Decoder | None) -> Decoder:
        if decoder is None:
            return "base"
        if decoder not in self.model.decoders:
            raise PartMissing("decoder", decoder, f"the {decoder} decoder", self.model.decoders)
        return decoder

    def checked_words(self, text: str, param: str = "prompt") -> str:
        """Return a prompt, or other words, without the space around it. Raises InvalidPrompt, which names `param`."""
        try:
            return self._checked_prompt(text)
        except InvalidPrompt as error:
            error.param = param
            raise

    def _checked_prompt(self, prompt: str) -> str:
        stripped = prompt.strip()
        if len(stripped) > self.max_prompt_characters:
            raise PromptTooLong(len(stripped), self.max_prompt_characters)
        for position, character in enumerate(prompt):
            if unicodedata.category(character) in REFUSED_CATEGORIES and character not in "\t\n\r":
                raise InvalidPrompt(f"the prompt holds U+{ord(character):04X} at position {position}, which is not text")
        if not _has_visible(stripped):
            raise PromptEmpty
        return stripped


def _frozen(value: Any) -> Any:
    """Return JSON's lists as the tuples that a spec has."""
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value


def _or(given: Value | None, default: Value) -> Value:
    return default if given is None else given


def _has_visible(text: str) -> bool:
    """True when some character leaves ink: not a space, a format character such as a zero-width joiner, or unassigned."""
    return any(unicodedata.category(character)[0] not in "ZC" for character in text)


def _checked_format(name: str | None) -> OutputFormat:
    if name is None:
        return "png"
    if name in OUTPUT_FORMATS:
        return cast(OutputFormat, name)
    offered = ", ".join(OUTPUT_FORMATS)
    if name in KNOWN_ELSEWHERE:
        raise UnsupportedParameter("output_format", f"pictures are not written as {name} here; choose one of {offered}")
    raise InvalidParameter("output_format", f"output_format should be one of {offered}, not {name[:40]!r}")
