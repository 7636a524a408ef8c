"""What Schemathesis has to be told to fuzz this API; loaded by it, by file name.

Left alone it never makes anything: a job from a picture needs the id of one, and a webhook an address that may be called. So
most requests are bent: towards ids that earlier replies named, and bodies that can be done, with the fields it thought of where
those can stand beside them. The rest goes out as it was thought of. A digest of the request decides, so a seed repeats it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import defaultdict, deque
from typing import Any

import schemathesis
from PIL import Image

REMEMBERED = 12
"""Ids of each kind that are kept, the newest."""
OPTIONS = (
    *("n", "size", "seed", "steps", "guidance_scale", "prior_steps", "upsample_steps", "output_format", "response_format"),
    *("user", "lane", "metadata", "previews", "quality", "style", "background", "eta", "inversion_steps", "theta", "frames"),
)
"""Fields of which every allowed value can be done."""
OPERATIONS = ("generate", "vary", "edit", "inpaint", "upscale", "encode", "interpolate", "resume")
KINDS = {"job_id": "job", "image_id": "image", "upload_id": "upload", "endpoint_id": "we", "model": "model"}


class Known:
    """The ids that replies named, by kind."""

    def __init__(self) -> None:
        self.ids: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def note(self, reply: Any) -> None:
        """Take up the ids in a reply."""
        for thing in (reply, *(reply.get("data") or ()), *(reply.get("images") or ())) if isinstance(reply, dict) else ():
            for name, kind in (("id", thing.get("object")), ("job_id", "job"), ("latent_id", "latent")):
                self._note(str(kind), thing.get(name))

    def pick(self, kind: str, number: int) -> str | None:
        """Return one of a kind, if there are any."""
        ids = self.ids[kind]
        return ids[number % len(ids)] if ids else None

    def _note(self, kind: str, thing_id: object) -> None:
        if not isinstance(thing_id, str):
            return
        kind = "we" if thing_id.startswith("we_") else "upload" if thing_id.startswith("up_") else kind
        if thing_id not in self.ids[kind]:
            self.ids[kind].append(thing_id)
        if kind == "job":
            self._note("image", f"{thing_id}-0")


known = Known()


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def json_lines(_context: Any, value: Any) -> bytes:
    """One line for each item of a list; text as it is."""
    items = value if isinstance(value, list) else [value]
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Bend three of four requests towards something that can be done."""
    number = int.from_bytes(hashlib.sha256(repr((case.operation.label, case.path_parameters, case.body)).encode()).digest()[:6])
    bend, number = number % 4, number // 4
    if not bend:
        return
    for name in case.path_parameters or ():
        if found := known.pick(KINDS.get(name, ""), number):
            case.path_parameters[name] = found
    doable = doable_body(case.operation.label, case.media_type or "", number)
    if doable is not None:
        thought = case.body if bend > 1 and isinstance(case.body, dict) else {}
        case.body = {**{name: value for name, value in thought.items() if name in OPTIONS}, **doable}


@schemathesis.hook
def after_call(_context: Any, _case: Any, response: Any) -> None:
    """Remember what the reply names."""
    if response.status_code < 300 and "json" in response.headers.get("content-type", [""])[0]:
        known.note(response.json())


def doable_body(label: str, media_type: str, number: int) -> dict[str, Any] | None:
    """Return a body with which an operation can be done; None where no other will do than was thought of."""
    is_form = media_type.startswith("multipart/")
    picture: Any = png() if is_form else known.pick("upload" if number % 2 else "image", number // 2) or inline(png())
    words = ("a red apple", "two boats", "a cat in a hat")[number % 3]
    edited = {"image": picture} if is_form else {"images": [{"image_url": inline(png())}]}
    return {
        "POST /v1/jobs": job(OPERATIONS[number % len(OPERATIONS)], picture),
        "POST /v1/latents": {"image": picture},
        "POST /v1/images/generations": {"prompt": words, "stream": number % 5 == 0},
        "POST /v1/images/edits": {**edited, "prompt": words},
        "POST /v1/images/variations": {"image": picture},
        "POST /v1/uploads": {"file": png()},
        "POST /v1/moderations": {"input": words},
        "POST /v1/webhook_endpoints": {"url": "https://127.0.0.1:9/hooks", "event_types": ["job.succeeded"], "name": words},
    }.get(label)


def job(operation: str, picture: str) -> dict[str, Any]:
    """Return a job of an operation, as short as it can be."""
    asked: dict[str, Any] = {"operation": operation}
    if operation in ("generate", "edit", "inpaint"):
        asked["prompt"] = "a red apple"
    if operation == "interpolate":
        asked["sources"] = [{"image": picture}, {"prompt": "a green frog"}]
    elif operation == "resume":
        asked["latent"] = known.pick("latent", 0) or "lat_" + "0" * 32 + "-0"
    elif operation != "generate":
        asked["image"] = picture
    if operation == "inpaint":
        asked["mask_boxes"] = [[0.25, 0.25, 0.75, 0.75]]
    return asked


def png() -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 40)).save(file, "PNG")
    return file.getvalue()


def inline(file: bytes) -> str:
    """The data URL of a picture."""
    return "data:image/png;base64," + base64.b64encode(file).decode()
