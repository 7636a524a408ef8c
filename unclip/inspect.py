"""`unclip inspect`: what a picture's file says of itself, as PNG text and as a C2PA manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from unclip.errors import CommandError

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
VERDICTS = {
    "Trusted": "trusted: unchanged since it was signed, by a signer that this machine trusts",
    "Valid": "valid: unchanged since it was signed; the signer is not on a list of trusted ones",
    "Invalid": "INVALID: changed since it was signed, or not signed as it says",
}


@dataclass(frozen=True)
class Manifest:
    """A C2PA manifest, as its library reads it. `state`: Trusted, Valid or Invalid. `faults`: codes of what is wrong."""

    state: str
    faults: tuple[str, ...]
    signer: str
    made_by: str
    actions: tuple[str, ...]
    operation: str | None
    model: str | None
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What a file says. `text`: its PNG text. `parameters`: what it takes to draw it again, from that text."""

    format: str
    width: int
    height: int
    text: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return asdict(self)


def inspect_file(path: Path) -> Inspection:
    """Read a picture's file. Raises CommandError for one that is none."""
    try:
        with Image.open(path, formats=list(FORMATS)) as image:
            image.load()  # text may stand behind the pixels
            kind = str(image.format)
            text = {name: str(value) for name, value in getattr(image, "text", {}).items()}
            width, height = image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise CommandError(f"{path} is no PNG, JPEG or WebP picture that can be read") from error
    return Inspection(kind, width, height, text, _parameters(text), _manifest(path, FORMATS[kind]))


def report_of(found: Inspection) -> Iterator[str]:
    """Yield the lines that tell it to people."""
    yield f"{found.format}, {found.width}x{found.height}"
    if found.parameters:
        yield "made by unclip:"
        for name, value in found.parameters.items():
            yield f"  {name}: {value}"
    elif found.text:
        for name, value in found.text.items():
            yield f"{name}: {value}"
    else:
        yield "no text says how it was made"
    manifest = found.manifest
    if manifest is None:
        yield "no C2PA manifest"
        return
    yield f"C2PA manifest, {VERDICTS.get(manifest.state, manifest.state)}"
    if manifest.faults:
        yield f"  told by its reader: {', '.join(manifest.faults)}"
    yield f"  signed by: {manifest.signer}"
    yield f"  made by: {manifest.made_by}"
    yield f"  what was done: {', '.join(manifest.actions) or 'not told'}"
    for name, value in (("operation", manifest.operation), ("model", manifest.model)):
        if value:
            yield f"  {name}: {value}"
    for source in manifest.sources:
        yield f"  source: {source}"


def _parameters(text: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        told = json.loads(text.get("unclip", "{}"))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _manifest(path: Path, content_type: str) -> Manifest | None:
    from c2pa import C2paError, Reader

    try:
        with path.open("rb") as file:
            reader = Reader.try_create(content_type, file)
            if reader is None:
                return None
            with reader:
                told = reader.get_active_manifest() or {}
                state = reader.get_validation_state() or "Invalid"
                results = (reader.get_validation_results() or {}).get("activeManifest", {})
    except C2paError as error:
        return Manifest("Invalid", (str(error),), "unknown", "unknown", (), None, None, ())
    actions = [
        action
        for assertion in told.get("assertions", [])
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", [])
    ]
    said: dict[str, Any] = {}
    for action in actions:
        said |= action.get("parameters") or {}
    signature = told.get("signature_info") or {}
    return Manifest(
        state=state,
        faults=tuple(str(fault.get("code")) for fault in results.get("failure", [])),
        signer=str(signature.get("common_name") or signature.get("issuer") or "unknown"),
        made_by=", ".join(str(each.get("name")) for each in told.get("claim_generator_info") or []),
        actions=tuple(str(action.get("action")) for action in actions),
        operation=said.get("com.unclip.operation"),
        model=said.get("com.unclip.model"),
        sources=tuple(f"{each.get('title')} ({each.get('relationship')})" for each in told.get("ingredients") or []),
    )
