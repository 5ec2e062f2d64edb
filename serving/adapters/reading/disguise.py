"""Recognises files that are not what their name says: pickles, archives and other formats under a harmless name."""

from pathlib import Path

from serving.adapters.examination.report import Rejected, shown

PICKLE_NAMES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".msgpack", ".h5")
ARCHIVE_NAMES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4")
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive, or a PyTorch file, which is one"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"GGUF", "a GGUF file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy file"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)
_TAR_PLACE, _TAR_MAGIC = 257, b"ustar"
_HEAD_BYTES = 512


def format_of(head: bytes) -> str | None:
    """Return what the first 512 bytes of a file show it to be, or None when they show nothing of note."""
    for signature, meaning in _SIGNATURES:
        if head.startswith(signature):
            return meaning
    if head[_TAR_PLACE:].startswith(_TAR_MAGIC):
        return "a tar archive"
    # Pickle protocols 2 to 5 open with PROTO and their number. So may the length of a safetensors header, but that is
    # followed by the header's brace.
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5 and head[8:9] != b"{":
        return "a pickle, which can run code when opened"
    return None


def refuse_disguise(path: Path) -> None:
    """Raise Rejected when a kept file's content is of another format than its name says."""
    with path.open("rb") as file:
        found = format_of(file.read(_HEAD_BYTES))
    if found is not None:
        raise Rejected(
            "disguise",
            f"{shown(path.name)} is not what its name says: it is {found}.",
            file=path.name,
            expected="JSON" if path.suffix == ".json" else "a safetensors file",
            found=found,
            advice="Save the adapter with PEFT's save_pretrained(…, safe_serialization=True).",
        )
