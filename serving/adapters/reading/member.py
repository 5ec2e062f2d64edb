"""One file inside an upload, and the ways in which a file inside an archive is refused."""

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.adapters.examination.report import Rejected, shown

CHUNK_BYTES = 1024**2
# All that Python's readers of archives raise for damaged ones. A chain of long names makes tarfile recurse.
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error),
    *(EOFError, OSError, ValueError, NotImplementedError, OverflowError, RuntimeError),
)


@dataclass(frozen=True)
class Member:
    """A regular file: its path inside the upload, and its content in chunks. Nothing is read before it is asked for.

    `file` is where a loose file lies, which need not be copied.
    """

    path: str
    chunks: Callable[[], Iterator[bytes]]
    file: Path | None = None


def safe_path(path: str) -> str:
    """Return a member's path without "." components; raises Rejected for one that leads out of the archive."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    drive = len(path) > 1 and path[1] == ":"
    if path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or drive:
        raise Rejected(
            "archive",
            f"The archive has a member with a path that is not allowed: {shown(path)}",
            file=shown(path),
            expected="relative paths below the archive's top",
            found=shown(path),
            advice="Pack the folder with a common tool, without absolute paths or '..'.",
        )
    return "/".join(parts)


def special_member(path: str, kind: str) -> Rejected:
    """Return the refusal of a member that is no regular file: a link, a device, an encrypted file."""
    return Rejected(
        "archive",
        f"{shown(path)} in the archive is {kind}; only regular files are taken.",
        file=shown(path),
        expected="regular files",
        found=kind,
        advice="Pack the files themselves.",
    )


def too_many_members(most: int) -> Rejected:
    """Return the refusal of an archive with more members than the limit."""
    return Rejected(
        "archive",
        f"The archive has more than {most} members.",
        expected=f"at most {most}",
        found="more",
        advice="Pack only adapter_config.json and adapter_model.safetensors.",
    )


def bomb(path: str, most: str) -> Rejected:
    """Return the refusal of an archive, or a member, that unpacks to far more than it should."""
    return Rejected(
        "archive",
        f"{shown(path)} unpacks to more than {most}.",
        file=shown(path),
        expected=f"at most {most}",
        found="more",
        advice="Trained weights hardly compress: this is no ordinary adapter. Upload the two files loose.",
    )


@contextmanager
def damage_refused(path: str) -> Iterator[None]:
    """Turn what a reader raises for a damaged archive into a refusal."""
    try:
        yield
    except _DAMAGE as error:
        raise Rejected(
            "archive",
            f"{shown(path)} cannot be read as the archive that its name says: {shown(error)}.",
            file=shown(path),
            expected="a sound .zip, .tar or .tar.gz",
            found=shown(error),
            advice="It is damaged, cut off or of another format. Pack it again, or upload the two files loose.",
        ) from None
