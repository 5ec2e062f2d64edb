"""Bad uploads: archives and sets of files that hold an adapter in a way that is not taken."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from adapter_factory import small_adapter, tarred, zipped
from bad_adapters.evil import CONFIG, WEIGHTS, Evil

_Pack = Callable[[Path, Path], object]


def _packed(name: str, pack: _Pack) -> Callable[[Path], object]:
    """How to pack a good adapter's folder as an archive called `name`."""

    def write(folder: Path) -> None:
        good = small_adapter().write(folder.parent / "good")
        folder.mkdir()
        pack(good, folder / name)

    return write


def _zip_with(member: str, content: bytes = b"{}", mode: int = 0) -> Callable[[Path], object]:
    def pack(good: Path, archive: Path) -> None:
        zipped(good, archive)
        with zipfile.ZipFile(archive, "a") as more:
            entry = zipfile.ZipInfo(member)
            entry.external_attr = mode << 16
            more.writestr(entry, content)

    return _packed("adapter.zip", pack)


def _tar_with(member: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[Path], object]:
    def pack(good: Path, archive: Path) -> None:
        with tarfile.open(archive, "w:gz") as more:
            for file in sorted(good.iterdir()):
                more.add(file, file.name)
            entry = tarfile.TarInfo(member)
            entry.type, entry.linkname = kind, target
            more.addfile(entry, io.BytesIO())

    return _packed("adapter.tgz", pack)


def _files(**contents: bytes) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        small_adapter().write(folder)
        for name, content in contents.items():
            (folder / name.replace("__", ".")).write_bytes(content)

    return write


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (small_adapter().write(folder) / name).unlink()


def _bomb(good: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.write(good / CONFIG, CONFIG)
        pack.writestr(WEIGHTS, bytes(64 * 2**20))


def _many(good: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as pack:
        for number in range(1001):
            pack.writestr(f"{number}.txt", b"x")
        pack.write(good / CONFIG, CONFIG)


def _apart(good: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as pack:
        pack.write(good / CONFIG, f"one/{CONFIG}")
        pack.write(good / WEIGHTS, f"two/{WEIGHTS}")


def _cut_off(good: Path, archive: Path) -> None:
    tarred(good, archive)
    archive.write_bytes(archive.read_bytes()[:2000])


UPLOADS = [
    Evil("nothing", lambda folder: folder.mkdir(), "files", "Nothing was uploaded"),
    Evil("no configuration", _without(CONFIG), "files", f"{CONFIG} is missing"),
    Evil("no weights", _without(WEIGHTS), "files", f"{WEIGHTS} is missing"),
    Evil("weights as a pickle by name", _files(adapter_model__bin=b"\x80\x04"), "disguise", "adapter_model.bin"),
    Evil("an archive beside loose files", _files(more__zip=b"PK\x05\x06"), "files", "mixes"),
    Evil("an archive in an archive", _zip_with("inner.zip"), "archive", "inner.zip is an archive inside"),
    Evil("a path out of a zip", _zip_with("../../evil.json"), "archive", "../../evil.json"),
    Evil("an absolute path in a zip", _zip_with("/etc/passwd"), "archive", "/etc/passwd"),
    Evil("a path with a drive", _zip_with("C:\\windows\\evil"), "archive", "C:"),
    Evil("a link in a zip", _zip_with("link.json", b"/etc/passwd", mode=0o120777), "archive", "link.json"),
    Evil("a second adapter in a zip", _zip_with(f"checkpoint-2/{CONFIG}"), "archive", "is there twice"),
    Evil("a path out of a tar", _tar_with("../evil.txt"), "archive", "../evil.txt"),
    Evil("a link in a tar", _tar_with("soft.txt", tarfile.SYMTYPE, "/etc/shadow"), "archive", "soft.txt"),
    Evil("a hard link in a tar", _tar_with("hard.txt", tarfile.LNKTYPE, CONFIG), "archive", "hard.txt"),
    Evil("a device in a tar", _tar_with("disk", tarfile.BLKTYPE), "archive", "disk"),
    Evil("a pipe in a tar", _tar_with("pipe", tarfile.FIFOTYPE), "archive", "pipe"),
    Evil("a zip bomb", _packed("bomb.zip", _bomb), "archive", "times"),
    Evil("a thousand members", _packed("many.zip", _many), "archive", "members"),
    Evil("two files in two folders", _packed("apart.zip", _apart), "archive", "different folders"),
    Evil("an archive that is cut off", _packed("cut.tgz", _cut_off), "archive", "ended before the end"),
    Evil(
        "a 7z archive", _packed("x.7z", lambda _, archive: archive.write_bytes(b"7z\xbc\xaf\x27\x1c")), "archive", "7z"
    ),
    Evil(
        "junk called zip", _packed("junk.zip", lambda _, archive: archive.write_bytes(b"x" * 99)), "archive", "junk.zip"
    ),
]
