"""Takes the two files of an adapter out of what was uploaded: loose files, or one archive of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from serving.adapters.examination.report import Rejected, shown
from serving.adapters.reading import tar_archive, zip_archive
from serving.adapters.reading.companions import Companions
from serving.adapters.reading.disguise import ARCHIVE_NAMES, PICKLE_NAMES, refuse_disguise
from serving.adapters.reading.limits import Limits
from serving.adapters.reading.member import CHUNK_BYTES, Member
from serving.adapters.reading.names import CONFIG, WEIGHTS

# What each kind of archive is called, as the end of a name, and read by.
_READERS: dict[str, Callable[[Path, Limits], Iterator[Member]]] = {
    ".zip": zip_archive.members,
    ".tar": tar_archive.members,
    ".tar.gz": tar_archive.members,
    ".tgz": tar_archive.members,
}
_BOTH = f"{CONFIG} and {WEIGHTS}"


@dataclass(frozen=True)
class Unpacked:
    """The adapter's files, now in the destination, the names of those that are not served, and its companions."""

    files: tuple[Path, ...]
    ignored: tuple[str, ...]
    companions: Mapping[str, bytes]


def unpack(upload: Path, destination: Path, limits: Limits) -> Unpacked:
    """Bring adapter_config.json and adapter_model.safetensors from an upload's folder to a new folder `destination`.

    The upload holds files under their clients' names: loose, or exactly one archive (.zip, .tar, .tar.gz, .tgz).
    Loose files are linked where that can be done. Memory is constant, whatever is sent. Raises Rejected; what it has
    written by then is the caller's to delete.
    """
    destination.mkdir(parents=True)
    taken: dict[str, str] = {}
    ignored: list[str] = []
    companions = Companions()
    for member in _members(upload, limits):
        name = member.path.rpartition("/")[2]
        _refuse_dangerous(name)
        if name in (CONFIG, WEIGHTS):
            if name in taken:
                raise Rejected(
                    "archive",
                    f"{name} is there twice: {shown(taken[name])} and {shown(member.path)}.",
                    file=name,
                    expected="one adapter",
                    found="several",
                    advice="Upload one adapter at a time; for a checkpoint, only its own folder.",
                )
            taken[name] = member.path
            _write(
                member,
                destination / name,
                limits.config_bytes if name == CONFIG else min(limits.file_bytes, limits.total_bytes),
            )
        else:
            companions.take(member)
            ignored.append(shown(member.path))
    _check_complete(taken, ignored)
    files = tuple(destination / name for name in (CONFIG, WEIGHTS))
    for file in files:
        refuse_disguise(file)
    return Unpacked(files=files, ignored=tuple(sorted(ignored)), companions=companions.beside(taken.values()))


def _members(upload: Path, limits: Limits) -> Iterator[Member]:
    files = sorted(upload.iterdir())
    archives = [file for file in files if _is_archive(file)]
    if not files:
        raise Rejected(
            "files",
            "Nothing was uploaded.",
            expected=_BOTH,
            found="no files",
            advice="Choose both files, or an archive.",
        )
    _check_uploaded_sizes(files, limits)
    if not archives:
        return _loose(files)
    if len(files) > 1:
        raise Rejected(
            "files",
            "The upload mixes an archive with other files.",
            expected="loose files, or exactly one archive",
            found=", ".join(shown(file.name, 40) for file in files[:5]),
            advice=f"Upload {_BOTH}, or one archive of them.",
        )
    return _archived(archives[0], limits)


def _is_archive(file: Path) -> bool:
    """Whether a file is an archive by its name; what calls itself a weights file is none, whatever it holds."""
    return file.name.lower().endswith(ARCHIVE_NAMES)


def _check_uploaded_sizes(files: Sequence[Path], limits: Limits) -> None:
    if len(files) > limits.members:
        raise Rejected(
            "size",
            f"The upload has {len(files)} files.",
            expected=f"at most {limits.members}",
            found=str(len(files)),
            advice=f"Upload {_BOTH} only.",
        )
    total = 0
    for file in files:
        if file.is_symlink() or not file.is_file():
            raise Rejected(
                "files", f"{shown(file.name)} is no plain file.", file=shown(file.name), advice=f"Upload {_BOTH}."
            )
        size = file.stat().st_size
        total += size
        if not size:
            raise Rejected(
                "files",
                f"{shown(file.name)} is empty.",
                file=shown(file.name),
                expected="content",
                found="0 bytes",
                advice="Save the adapter again and upload it again.",
            )
    if total > limits.total_bytes:
        raise Rejected(
            "size",
            f"The upload has {total} bytes; this platform takes up to {limits.total_bytes}.",
            expected=f"at most {limits.total_bytes} bytes",
            found=f"{total} bytes",
            advice="Train with a smaller rank or fewer modules, or save in float16.",
        )


def _loose(files: Sequence[Path]) -> Iterator[Member]:
    for file in files:
        yield Member(file.name, partial(_chunks, file), file)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk


def _archived(file: Path, limits: Limits) -> Iterator[Member]:
    name = file.name.lower()
    reader = next((reader for ending, reader in _READERS.items() if name.endswith(ending)), None)
    if reader is None:
        raise Rejected(
            "archive",
            f"{shown(file.name)} is an archive of a kind that is not read.",
            file=shown(file.name),
            expected=", ".join(_READERS),
            found=shown(file.suffix),
            advice="Pack the files as .zip or .tar.gz, or upload them loose.",
        )
    return reader(file, limits)


def _refuse_dangerous(name: str) -> None:
    lowered = name.lower()
    if lowered.endswith(PICKLE_NAMES):
        raise Rejected(
            "disguise",
            f"{shown(name)} is a pickle by its name: opening one can run any code, so none is taken.",
            file=shown(name),
            expected=_BOTH,
            found=shown(name),
            advice="Leave it out. Weights must be saved with save_pretrained(…, safe_serialization=True).",
        )
    if lowered.endswith(ARCHIVE_NAMES):
        raise Rejected(
            "archive",
            f"{shown(name)} is an archive inside the archive.",
            file=shown(name),
            expected=_BOTH,
            found="a nested archive",
            advice="Pack the two files themselves.",
        )


def _write(member: Member, destination: Path, longest: int) -> None:
    """Copy a member's bytes and count them: what a header says about its size is not believed."""
    if member.file is not None and member.file.stat().st_size <= longest:
        with suppress(OSError):  # another file system
            destination.hardlink_to(member.file)
            return
    written = 0
    with destination.open("xb") as copy:
        for chunk in member.chunks():
            written += len(chunk)
            if written > longest:
                raise Rejected(
                    "size",
                    f"{destination.name} is larger than {longest} bytes.",
                    file=destination.name,
                    expected=f"at most {longest} bytes",
                    found="more",
                    advice="Train with a smaller rank or fewer modules, or save in float16.",
                )
            copy.write(chunk)


def _check_complete(taken: dict[str, str], ignored: Sequence[str]) -> None:
    missing = [name for name in (CONFIG, WEIGHTS) if name not in taken]
    if missing:
        others = [name for name in ignored if name.endswith((".safetensors", ".json"))]
        raise Rejected(
            "files",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            + (f"; found {', '.join(others[:5])}." if others else "."),
            file=missing[0],
            expected=_BOTH,
            found=", ".join([*taken, *ignored][:8]) or "no files",
            advice="Upload both files that PEFT's save_pretrained wrote, under their own names.",
        )
    folders = {path.rpartition("/")[0] for path in taken.values()}
    if len(folders) > 1:
        raise Rejected(
            "archive",
            f"The two files lie in different folders: {' and '.join(map(shown, taken.values()))}.",
            expected="both files in one folder",
            found=", ".join(shown(folder) or "the top" for folder in sorted(folders)),
            advice="Pack the folder that save_pretrained wrote, as it is.",
        )
