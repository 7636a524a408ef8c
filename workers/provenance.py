"""What a picture's file says of itself: how it was made, as PNG text; and a C2PA manifest, written last.

The manifest names the service, the model and the sources (as ingredients), never the prompt: a caller may opt out of the text.
It proves that the file was not changed since; who signed it is as good as the certificate (`workers/credentials.py`).
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL.PngImagePlugin import PngInfo

from contract.errors import SettingsWrong
from contract.settings import Settings
from contract.spec import EditSpec, ImageSource, InpaintSpec, Spec, UpscaleSpec
from contract.store import LATENT_TYPE, content_type_of
from workers.credentials import find_credentials
from workers.engine import Order

if TYPE_CHECKING:
    from c2pa import Context

SOFTWARE = "unclip"
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
DIGITAL_SOURCE_EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
ALGORITHM = "es256"
# What changes its source; the others make a new picture after it.
_CHANGES: tuple[type[Spec], ...] = (EditSpec, InpaintSpec, UpscaleSpec)
_NOT_PARAMETERS = {
    "key",
    "lane",
    "user",
    "metadata",
    "previews",
    "prompt",
    "source_prompt",
    "source",
    "sources",
    "mask",
    "n",
    "seed",
}
_BLANK = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""A PNG of one pixel, to try a certificate with."""


class Provenance:
    """Writes manifests. The library is loaded, and a certificate made if there is none, at the first picture."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._context: Context | None = None

    def check(self) -> None:
        """Return if the operator's certificate, where the settings name one, can sign. Raises SettingsWrong."""
        if self._settings.content_credentials == "off" or self._settings.signing_certificate_file is None:
            return
        from c2pa import C2paError

        try:
            self._signed(_BLANK, "image/png", {"claim_generator_info": [{"name": SOFTWARE}], "assertions": []}, [])
        except C2paError as error:
            self._context = None
            raise SettingsWrong(f"UNCLIP_SIGNING_CERTIFICATE_FILE and UNCLIP_SIGNING_KEY_FILE cannot sign: {error}") from error

    def sign(self, data: bytes, content_type: str, order: Order) -> bytes:
        """Return a picture's file with a manifest; unchanged where the settings want none."""
        if self._settings.content_credentials == "off":
            return data
        changes = isinstance(order.spec, _CHANGES)
        sources = _sources(order)
        ingredients = []
        for index, (name, source) in enumerate(sources):
            relationship = "parentOf" if changes and index == 0 else "inputTo"
            ingredients.append(({"title": name, "relationship": relationship, "label": f"source-{index}"}, source))
        return self._signed(data, content_type, _manifest(order.spec, changes and bool(sources)), ingredients)

    def _signed(
        self, data: bytes, content_type: str, manifest: dict[str, Any], ingredients: Sequence[tuple[dict[str, str], bytes]]
    ) -> bytes:
        from c2pa import Builder

        with Builder(manifest, context=self._signing_context()) as builder:
            for ingredient, source in ingredients:
                builder.add_ingredient(ingredient, content_type_of(source), io.BytesIO(source))
            signed = io.BytesIO()
            builder.sign(content_type, io.BytesIO(data), signed)
        return signed.getvalue()

    def _signing_context(self) -> Context:
        from c2pa import C2paSignerInfo, Context, Signer

        with self._lock:
            if self._context is None:
                credentials = find_credentials(self._settings)
                info = C2paSignerInfo(ALGORITHM, credentials.certificates, credentials.key, None)
                settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
                self._context = Context.from_dict(settings, signer=Signer.from_info(info))
            return self._context


def png_text(spec: Spec, seed: int) -> PngInfo | None:
    """Return what a PNG says of how it was made, in words and for programs; None where the caller wants none."""
    if not spec.metadata:
        return None
    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    prompt = getattr(spec, "prompt", None)
    if prompt:
        info.add_itxt("Description", prompt)
    info.add_itxt("unclip", json.dumps(parameters(spec, seed), ensure_ascii=False))
    return info


def parameters(spec: Spec, seed: int) -> dict[str, Any]:
    """Return what it takes to draw a job's picture of this seed again, alone."""
    said = spec.model_dump(mode="json", exclude=_NOT_PARAMETERS, exclude_none=True)
    words = {name: getattr(spec, name) for name in ("prompt", "source_prompt") if getattr(spec, name, None)}
    return {**words, "seed": seed, **said}


def _manifest(spec: Spec, is_change: bool) -> dict[str, Any]:
    """Return the manifest's definition: what was done, by which program and model."""
    done: dict[str, Any] = {
        "action": "c2pa.edited" if is_change else "c2pa.created",
        "softwareAgent": {"name": SOFTWARE},
        "digitalSourceType": DIGITAL_SOURCE_EDITED if is_change else DIGITAL_SOURCE,
        "parameters": {"com.unclip.operation": spec.operation, "com.unclip.model": spec.model},
    }
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source-0"]}}
    actions = [opened, done] if is_change else [done]
    return {
        "claim_generator_info": [{"name": SOFTWARE}],
        "title": "picture",
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }


def _sources(order: Order) -> list[tuple[str, bytes]]:
    """Return the pictures that the job was given, by their ids; latents are no media that a reader could show."""
    spec: Any = order.spec
    named = [getattr(spec, "source", None), *getattr(spec, "sources", ())]
    ids = [source.id for source in named if isinstance(source, ImageSource)]
    found = [(name, order.inputs[name]) for name in ids if name in order.inputs]
    return [(name, data) for name, data in found if content_type_of(data) != LATENT_TYPE]
