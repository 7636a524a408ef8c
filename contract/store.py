"""The image store: pictures, uploads and latents by id, in a folder or in an S3 bucket, through obstore."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from contract.errors import ImageNotFound, SettingsWrong, StoreDown
from contract.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

IMAGE_ID = re.compile(r"([0-9a-f]{32})-(0|[1-9][0-9]?)")
JOB_ID = re.compile(r"[0-9a-f]{32}")
UPLOAD_ID = re.compile(r"up_([0-9a-f]{32})")
LATENT_ID = re.compile(r"lat_([0-9a-f]{32})-(0|[1-9][0-9]?)")
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
"""By the names of `contract.spec.OutputFormat`, and GIF for animations."""
LATENT_TYPE = "application/octet-stream"
KINDS = ("images", "latents", "uploads")
_UNFINISHED = re.compile(r".+#\d+")
"""How obstore names a file in a folder until it is whole; it shows such files to nobody."""


@dataclass(frozen=True)
class Patience:
    """How long one request to a bucket may take: to connect, between two reads, in all, and while a failed one is repeated."""

    connect: timedelta
    read: timedelta
    whole: timedelta
    repeat: timedelta


# A caller waits for a read, and an outage must be told within two seconds: repeat + read stays below that. Repeats are for
# connections that the server closed while they lay idle.
READING = Patience(timedelta(seconds=0.8), timedelta(seconds=1.4), timedelta(seconds=30), timedelta(seconds=0.4))
# Only workers write; a picture of some megabytes on a slow line takes its time.
WRITING = Patience(timedelta(seconds=0.8), timedelta(seconds=20), timedelta(seconds=60), timedelta(seconds=1))
MAX_REPEATS = 3
LIST_CHUNK = 500
FIRST_PAUSE = timedelta(milliseconds=20)


def image_id(job_id: str, index: int) -> str:
    """Return the id of picture `index` of a job: a function of both, so that a repeated job overwrites its own pictures."""
    return f"{job_id}-{index}"


def latent_id(job_id: str, index: int) -> str:
    """Return the id of the bipartite latent of picture `index` of a job."""
    return f"lat_{job_id}-{index}"


def new_upload_id() -> str:
    """Return an id for a picture that a caller brings."""
    return f"up_{uuid4().hex}"


@dataclass(frozen=True)
class StoredImage:
    """A file as it was stored."""

    bytes: bytes
    content_type: str


class ImageStore:
    """Keeps pictures, uploads and latents by id. A put is whole or not at all; every method raises StoreDown for no answer."""

    def __init__(self, reader: LocalStore | S3Store, writer: LocalStore | S3Store, folder: Path | None) -> None:
        self._reader = reader
        self._writer = writer
        self._folder = folder

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the store that the settings name, without asking anything of it yet; a local folder is made.

        Raises SettingsWrong when the folder cannot be made.
        """
        url = settings.storage_url
        if url is not None and url.startswith("s3://"):
            return cls(_bucket(url, settings, READING), _bucket(url, settings, WRITING), None)
        folder = settings.data_dir if url is None else Path(unquote(urlsplit(url).path))
        try:
            # The folder holds what people asked for: its owner's business alone.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SettingsWrong(
                f"the picture folder {folder} cannot be made: {error.strerror}; UNCLIP_STORAGE_URL or UNCLIP_DATA_DIR names it"
            ) from error
        local = LocalStore(folder)
        return cls(local, local, folder)

    def put(self, image_id: str, data: bytes, content_type: str = CONTENT_TYPES["png"]) -> None:
        """Store a file, replacing one of the same id. Raises ImageNotFound for what is not an image id."""
        # A folder keeps no attributes and obstore refuses them there; readers know the type by the first bytes.
        attributes = None if self._folder else {"Content-Type": content_type}
        with _outages():
            obstore.put(self._writer, _key(image_id), data, attributes=attributes, use_multipart=False)

    def get(self, image_id: str) -> StoredImage:
        """Return a stored file. Raises ImageNotFound for one that is not there."""
        key = _key(image_id)
        with _outages():
            try:
                data = obstore.get(self._reader, key).bytes().to_bytes()
            except FileNotFoundError as error:
                raise ImageNotFound(image_id) from error
        return StoredImage(data, content_type_of(data))

    def delete(self, image_id: str) -> None:
        """Remove a file; one that is not there is no error."""
        with _outages():
            try:
                obstore.delete(self._writer, _key(image_id))
            except FileNotFoundError:
                return

    def delete_job(self, job_id: str) -> None:
        """Remove every picture and every latent of a job. Raises ImageNotFound for what is no job's id."""
        if not JOB_ID.fullmatch(job_id):
            raise ImageNotFound(job_id)
        with _outages():
            for kind in ("images", "latents"):
                for chunk in obstore.list(self._writer, prefix=f"{kind}/{job_id}"):
                    obstore.delete(self._writer, [entry["path"] for entry in chunk])

    def aged(self, before: datetime) -> Iterator[Sequence[str]]:
        """Yield, some hundreds at a time, the ids of whatever was stored before this moment."""
        for kind in KINDS:
            with _outages():
                chunks = iter(obstore.list(self._writer, prefix=kind, chunk_size=LIST_CHUNK))
            while True:
                with _outages():
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                found = [_id_of(entry["path"]) for entry in chunk if entry["last_modified"] < before]
                yield [thing_id for thing_id in found if thing_id is not None]

    def remove_unfinished(self, before: datetime) -> int:
        """Remove what writers that were killed before this moment left in a folder, which no list shows. Returns how many went.

        A bucket has none: a file comes there in one request, or not at all.
        """
        if self._folder is None:
            return 0
        gone = 0
        for kind in KINDS:
            for folder, _, names in os.walk(self._folder / kind):
                for path in (Path(folder, name) for name in names if _UNFINISHED.fullmatch(name)):
                    with _outages(), suppress(FileNotFoundError):  # its writer was alive, and is done
                        if path.stat().st_mtime < before.timestamp():
                            path.unlink()
                            gone += 1
        return gone

    def ping(self) -> None:
        """Return if the store answers, raise StoreDown if not: the bucket can be listed, or the folder written to."""
        if self._folder is not None:
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise StoreDown(f"{self._folder} is not a folder that can be written to")
            return
        with _outages():
            # Nothing lies there: the answer stays short however many pictures the bucket holds, and a bucket that is
            # missing or closed to us is still an error.
            for _ in obstore.list(self._reader, prefix="ping"):
                break


class Bucket:
    """A bucket of pictures that callers reach themselves, by addresses that are signed for it."""

    def __init__(self, store: S3Store, address: str) -> None:
        self._store = store
        self._address = address

    @classmethod
    def open(cls, settings: Settings) -> Self | None:
        """Return it where the settings say at which address callers reach it; it is never asked anything here."""
        url, endpoint_url = settings.storage_url, settings.storage_public_endpoint_url
        if url is None or endpoint_url is None:
            return None
        seen_by_callers = settings.model_copy(update={"storage_endpoint_url": endpoint_url.rstrip("/")})
        return cls(
            _bucket(url, seen_by_callers, READING), f"{endpoint_url.rstrip('/')}/{url.removeprefix('s3://').rstrip('/')}/"
        )

    def signed_address(self, image_id: str, valid_seconds: int) -> str:
        """Return where a file opens without a key for so long (SigV4 in the query). Raises ImageNotFound for what is no id."""
        return obstore.sign(self._store, "GET", _key(image_id), timedelta(seconds=valid_seconds))

    def id_at(self, address: str) -> str | None:
        """Return the id of the file at an address; None for one that is none of the bucket's."""
        path = address.partition("?")[0]
        return _id_of(path.removeprefix(self._address)) if path.startswith(self._address) else None


def _key(image_id: str) -> str:
    if match := IMAGE_ID.fullmatch(image_id):
        return f"images/{match[1]}/{match[2]}"
    if match := LATENT_ID.fullmatch(image_id):
        return f"latents/{match[1]}/{match[2]}"
    if match := UPLOAD_ID.fullmatch(image_id):
        return f"uploads/{match[1]}"
    raise ImageNotFound(image_id)


def _id_of(path: str) -> str | None:
    """Return the id of what lies at a path; None for what is none of ours."""
    kind, _, rest = path.partition("/")
    found = {"images": "{}", "latents": "lat_{}", "uploads": "up_{}"}.get(kind, "").format(rest.replace("/", "-"))
    try:
        return found if _key(found) == path else None
    except ImageNotFound:
        return None


def content_type_of(data: bytes) -> str:
    """Return the type of a stored file by its first bytes; what is no picture is a latent."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return CONTENT_TYPES["png"]
    if data.startswith(b"\xff\xd8\xff"):
        return CONTENT_TYPES["jpeg"]
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return CONTENT_TYPES["webp"]
    return CONTENT_TYPES["gif"] if data.startswith((b"GIF87a", b"GIF89a")) else LATENT_TYPE


def _bucket(url: str, settings: Settings, patience: Patience) -> S3Store:
    config: S3Config = {"region": settings.storage_region}
    if settings.storage_endpoint_url is not None:
        # Servers other than Amazon's rarely have a host name per bucket.
        config |= {"endpoint": settings.storage_endpoint_url, "virtual_hosted_style_request": False}
    if settings.storage_access_key_id is not None and settings.storage_secret_access_key is not None:
        config["access_key_id"] = settings.storage_access_key_id
        config["secret_access_key"] = settings.storage_secret_access_key.get_secret_value()
    client: ClientConfig = {
        "connect_timeout": patience.connect,
        "read_timeout": patience.read,
        "timeout": patience.whole,
        "allow_http": True,
    }
    retry: RetryConfig = {
        "max_retries": MAX_REPEATS,
        "retry_timeout": patience.repeat,
        "backoff": {"init_backoff": FIRST_PAUSE, "max_backoff": timedelta(seconds=0.2), "base": 2},
    }
    return S3Store.from_url(url, config=config, client_options=client, retry_config=retry)


@contextmanager
def _outages() -> Iterator[None]:
    """Turn whatever keeps the store from serving into StoreDown."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreDown(f"{type(error).__name__}: {error}") from error
