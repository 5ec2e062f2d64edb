"""Places outside the platform that its settings name: buckets of S3-compatible stores, and folders."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class Bucket(BaseModel):
    """A bucket, or what lies in one under a prefix. Without keys, boto3 looks for credentials as it always does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3)
    prefix: str = ""
    endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$", description="Empty: Amazon's.")
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")

    @field_validator("prefix")
    @classmethod
    def _plain(cls, value: str) -> str:
        return value.strip("/")


class BucketSource(Bucket):
    """A bucket that adapters may be imported from, by the departments that it names and by admins."""

    departments: frozenset[str] = frozenset()


class FolderSource(BaseModel):
    """A folder that adapters may be imported from, by the departments that it names and by admins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    departments: frozenset[str] = frozenset()

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError(f"{value} is no absolute path")
        return value
