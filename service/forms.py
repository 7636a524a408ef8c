"""Multipart bodies: text fields as the request's model has them, and files. Parts are counted and bounded while they arrive."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from contract.errors import InvalidForm, InvalidImage
from service.errors import BodyOverLimit

MAX_FILES = 18
MAX_FIELDS = 64
MAX_FIELD_BYTES = 64 * 1024
FORM_TYPE = "multipart/form-data"
_INTEGER = re.compile(r"[+-]?\d{1,20}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Form:
    """A form as it came: texts by field, and the files of each field in order. `image[]` and `image` are one field."""

    texts: Mapping[str, Sequence[str]]
    files: Mapping[str, Sequence[bytes]]

    def fields_of(self, model: type[BaseModel]) -> dict[str, Any]:
        """Return the text fields as JSON would have them, by what `model` says of each; what does not fit stays text."""
        return {name: _typed(model, name, values) for name, values in self.texts.items()}


def is_form(request: Request) -> bool:
    """True when the body says that it is a form."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE


async def read_form(request: Request, max_file_bytes: int) -> Form:
    """Read the form of a request. Raises InvalidForm, and InvalidImage for a file that is too large."""
    texts: dict[str, list[str]] = {}
    files: dict[str, list[bytes]] = {}
    form = await bounded_form(request)
    try:
        for name, value in form.multi_items():
            field = name.removesuffix("[]")
            if not isinstance(value, UploadFile):
                texts.setdefault(field, []).append(value)
                continue
            if value.size is not None and value.size > max_file_bytes:
                raise InvalidImage(field, f"it has {value.size} bytes; at most {max_file_bytes} are accepted")
            files.setdefault(field, []).append(await value.read())
    finally:
        await form.close()
    return Form(texts, files)


async def bounded_form(request: Request) -> FormData:
    """Return the form of a request, which is read once. Raises InvalidForm."""
    try:
        return await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except BodyOverLimit:
        raise
    except HTTPException as error:
        raise InvalidForm(str(error.detail).rstrip(".").lower()) from error


def _typed(model: type[BaseModel], name: str, values: Sequence[str]) -> Any:
    if len(values) > 1:
        return list(values)
    text = values[0]
    field = model.model_fields.get(name)
    kinds = set() if field is None else _kinds(field.annotation)
    if bool in kinds and text in ("true", "false"):
        return text == "true"
    if int in kinds and _INTEGER.fullmatch(text):
        return int(text)
    if float in kinds and _NUMBER.fullmatch(text):
        return float(text)
    return text


def _kinds(annotation: Any) -> set[Any]:
    """Return the plain types somewhere in an annotation."""
    origin = getattr(annotation, "__origin__", None)
    inner = {kind for part in get_args(annotation) for kind in _kinds(part)}
    return inner | {type(part) for part in get_args(annotation) if isinstance(part, str)} | {origin or annotation}
