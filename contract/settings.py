"""Settings of every process: environment variables with the prefix `UNCLIP_`, read once in `main` and passed down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis import ConnectionPool

from contract.addresses import Network, read_networks
from contract.errors import SettingsWrong


def _http_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("should be an address that begins with http:// or https://")
    return url


def _rate(words: str) -> str:
    from limits import parse_many  # late: the command line reads settings too, and is to start quickly

    parse_many(words)  # its ValueError says what is wrong
    return words


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _origin(text: str) -> None:
    parts = urlsplit(text)
    if text != "*" and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query):
        raise ValueError("should be origins such as https://app.example, without a path, or *")


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Folder = Annotated[Path, AfterValidator(Path.expanduser)]
HttpAddress = Annotated[str, AfterValidator(_http_address)]
Rate = Annotated[str, AfterValidator(_rate)]
"""How often, such as `60/minute` or `10/second; 1000/day`."""

BUNDLED_MODEL = Path(__file__).resolve().parent.parent / "models" / "weights"


class Settings(BaseSettings):
    """One field per variable; units are in the names. A wrong value stops the process at start, naming the variable."""

    # Files named .env are the shell's or compose's business: reading one here would make a folder's content change behaviour.
    model_config = SettingsConfigDict(
        env_prefix="UNCLIP_", env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data_dir: Folder = Field(
        default=Path("~/.local/share/unclip"),
        validate_default=True,
        description="Where a home installation keeps its queue and pictures.",
    )
    model_dir: Folder | None = Field(default=None, description="Model folder; empty: the bundled model.")

    # Not shown in a repr: it may hold a password.
    redis_url: str | None = Field(
        default=None,
        repr=False,
        description="Redis or Valkey of the queue (redis://, rediss://, unix://); empty: `unclip serve` starts one.",
    )
    queue_connect_timeout_seconds: Seconds = Field(
        default=0.7, description="Longest wait for a connection to the queue; with the next, what bounds an outage's 503."
    )
    queue_reply_timeout_seconds: Seconds = Field(default=1.2, description="Longest wait for one reply of the queue.")
    durable: bool = Field(
        default=False,
        description="Whether a job is on disk before it is acknowledged (appendfsync always). Otherwise a crash of the "
        "machine, not of a process, may lose the last second.",
    )
    max_queue_depth: Count = Field(default=1000, description="Interactive jobs that may wait; more are refused with 429.")
    max_batch_depth: Count = Field(default=10_000, description="Batch jobs that may wait; more are refused with 429.")
    max_queue_depth_per_key: Count = Field(
        default=200, description="Jobs of one API key that may wait in a lane; more are refused with 429."
    )
    result_ttl_hours: Annotated[float, Field(gt=0, le=24 * 365)] = Field(
        default=24, description="How long a finished job can be read."
    )

    storage_url: str | None = Field(
        default=None, description="s3://bucket/prefix or file:///folder for pictures; empty: images/ in the data folder."
    )
    storage_endpoint_url: HttpAddress | None = Field(default=None, description="Address of an S3 server that is not Amazon's.")
    storage_public_endpoint_url: HttpAddress | None = Field(
        default=None,
        description="How callers reach the S3 server: pictures are then fetched from the bucket, at signed addresses; empty: "
        "from the API.",
    )
    storage_access_key_id: str | None = Field(default=None, description="S3 access key.")
    storage_secret_access_key: SecretStr | None = Field(default=None, description="S3 secret key.")
    storage_region: str = Field(default="us-east-1", description="S3 region.")

    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: Port = Field(default=8000, description="Port the API listens on; 0 takes a free one.")
    public_base_url: HttpAddress | None = Field(
        default=None, description="How callers reach the API, for picture URLs; empty: as the request came in."
    )
    api_keys: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="Whether callers need an API key. auto: as soon as one was made; until then the API listens on this "
        "machine alone. required: always. off: never.",
    )
    key_rate: Rate | None = Field(
        default="300/minute", description="How often a key may start or change jobs, unless it has a rate of its own."
    )
    key_read_rate: Rate | None = Field(
        default="3000/minute", description="How often a key may read, unless it has a rate of its own."
    )
    url_secret: SecretStr | None = Field(
        default=None, description="What picture addresses are signed with; empty: made once, and kept in Redis."
    )
    cors_origins: str | None = Field(
        default=None, description="Web origins whose pages may call the API, with commas between them; * for any."
    )
    max_header_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=16 * 1024, description="Largest header section of a request."
    )
    slow_client_seconds: Seconds = Field(
        default=20, description="A caller that sends or takes nothing for this long is dropped."
    )
    max_body_bytes: Count = Field(
        default=2**20, description="Largest request body; where pictures may stand in JSON, eight times that."
    )
    max_upload_bytes: Count = Field(default=20 * 2**20, description="Largest file of a picture that callers bring.")
    max_upload_pixels: Count = Field(default=25_000_000, description="Most pixels of a picture that callers bring.")
    outbound_allowed_networks: str | None = Field(
        default=None,
        description="Private networks that picture addresses and webhooks may lead to: 10.1.0.0/16 and such, with commas.",
    )
    max_prompt_characters: Count = Field(default=1000, description="Longest prompt.")
    sync_wait_seconds: Seconds = Field(
        default=580, description="How long /v1/images/generations waits for its job; OpenAI's clients give up after 600 s."
    )
    drain_seconds: Annotated[float, Field(ge=0)] = Field(
        default=20, description="How long work in hand may take to finish when a process is told to stop."
    )

    prompt_filter_categories: str = Field(
        default="sexual,sexual/minors,violence/graphic,hate,self-harm",
        description="What prompts are refused for; `sexual/minors` cannot be left out.",
    )
    prompt_filter_thresholds: str | None = Field(
        default=None,
        description="Scores from which the classifier refuses, such as `hate=0.9,sexual=0.7`; what is not named: as fitted.",
    )
    picture_filter: bool = Field(default=True, description="Whether the picture filter looks at pictures, drawn and sent.")
    picture_filter_threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.8, description="Score, 0 to 1, from which a picture is kept back."
    )
    audit_prompts: bool = Field(
        default=False, description="Whether the audit log may hold refused prompts and the words that led to it."
    )

    content_credentials: Literal["on", "off"] = Field(
        default="on", description="Whether pictures carry a signed C2PA manifest."
    )
    signing_certificate_file: Folder | None = Field(
        default=None, description="PEM file with the certificate chain that signs them; empty: one made in the data folder."
    )
    signing_key_file: Folder | None = Field(default=None, description="PEM file with its ES256 private key.")

    api_key: SecretStr | None = Field(default=None, description="API key that the command line sends.")

    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where the model runs: auto, cpu, cuda or cuda:N."
    )
    cuda_mode: Literal["fast", "strict"] = Field(
        default="fast",
        description="On a GPU: fast (bfloat16, last bits differ by company) or strict (float32, one shape, same pixels).",
    )
    cpu_backend: Literal["torch", "openvino", "openvino_bf16"] = Field(
        default="torch",
        description="On a CPU: torch; openvino: the nets compiled by that package, if it is installed; openvino_bf16: decoders "
        "and upsamplers of these in bfloat16, where the processor has it.",
    )
    worker_threads: Count | None = Field(default=None, description="CPU threads of the model; empty: all cores.")
    worker_heartbeat_ttl_seconds: Annotated[int, Field(ge=2)] = Field(
        default=8, description="A worker silent for this long is taken for dead."
    )
    job_timeout_seconds: Count = Field(default=600, description="Longest run of one job.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log line written."
    )

    @property
    def model_folder(self) -> Path:
        """The model to serve: the one asked for, else the one that ships with the project."""
        return self.model_dir or BUNDLED_MODEL

    @property
    def sentence_tower_folder(self) -> Path:
        """Where the prompt filter's sentence tower lies: with the bundled model, whichever is served."""
        return BUNDLED_MODEL

    @property
    def outbound_networks(self) -> tuple[Network, ...]:
        """The private networks that requests of ours may go to."""
        return read_networks(self.outbound_allowed_networks or "")

    @property
    def result_ttl_seconds(self) -> int:
        """How long a finished job can be read, in whole seconds."""
        return max(1, round(self.result_ttl_hours * 3600))

    @property
    def cors_origin_list(self) -> tuple[str, ...]:
        """The web origins whose pages may call the API."""
        return _listed(self.cors_origins)

    @property
    def queue_url(self) -> str:
        """The address of the queue. Raises SettingsWrong when none is set."""
        if self.redis_url is None:
            raise SettingsWrong("UNCLIP_REDIS_URL must name a Redis or Valkey; `unclip serve` brings one of its own")
        return self.redis_url

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, given: str | None) -> str | None:
        for origin in _listed(given):
            _origin(origin)
        return given

    @field_validator("redis_url")
    @classmethod
    def _names_a_redis(cls, url: str | None) -> str | None:
        try:
            if url is not None:
                ConnectionPool.from_url(url).make_connection()  # connects to nothing yet
        except (ValueError, TypeError):
            # Without the cause: it quotes parts of the address, and there is a password in it.
            raise ValueError("should be an address such as redis://:password@host:6379/0") from None
        return url

    @field_validator("storage_url")
    @classmethod
    def _names_a_store(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "file:///")
        # The bucket stands where other addresses have their host, and a folder of this machine needs none.
        if not (parts.netloc if parts.scheme == "s3" else parts.scheme == "file" and not parts.netloc):
            raise ValueError("should be s3://bucket/prefix or file:///folder")
        return url

    @field_validator("outbound_allowed_networks")
    @classmethod
    def _names_networks(cls, text: str | None) -> str | None:
        read_networks(text or "")
        return text

    @model_validator(mode="after")
    def _keys_are_a_pair(self) -> Self:
        if (self.storage_access_key_id is None) != (self.storage_secret_access_key is None):
            raise ValueError("UNCLIP_STORAGE_ACCESS_KEY_ID and UNCLIP_STORAGE_SECRET_ACCESS_KEY go together")
        is_signable = self.storage_access_key_id is not None and (self.storage_url or "").startswith("s3://")
        if self.storage_public_endpoint_url is not None and not is_signable:
            raise ValueError("UNCLIP_STORAGE_PUBLIC_ENDPOINT_URL needs an s3:// UNCLIP_STORAGE_URL and a pair of storage keys")
        if (self.signing_certificate_file is None) != (self.signing_key_file is None):
            raise ValueError("UNCLIP_SIGNING_CERTIFICATE_FILE and UNCLIP_SIGNING_KEY_FILE go together")
        return self
