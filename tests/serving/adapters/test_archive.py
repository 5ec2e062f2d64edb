"""Uploads are unpacked to two files, or refused with a reason."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter_factory import small_adapter, tarred, zipped
from serving.adapters.examination.report import Finding, Rejected
from serving.adapters.reading.archive import Unpacked, unpack
from serving.adapters.reading.limits import MIB, Limits

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return small_adapter().write(tmp_path / "adapter")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    folder = tmp_path / "upload"
    folder.mkdir()
    return folder


@pytest.fixture
def unpacked(upload: Path, tmp_path: Path) -> Callable[..., Unpacked]:
    return lambda **limits: unpack(upload, tmp_path / "unpacked", Limits(**limits))


@pytest.fixture
def refusal(unpacked: Callable[..., Unpacked]) -> Callable[..., Finding]:
    def refused(**limits: int) -> Finding:
        with pytest.raises(Rejected) as rejected:
            unpacked(**limits)
        finding = rejected.value.finding
        assert finding.advice, "a refusal says what to do"
        return finding

    return refused


def assert_same_adapter(unpacked: Unpacked, adapter: Path) -> None:
    assert [file.name for file in unpacked.files] == [CONFIG, WEIGHTS]
    assert sorted(path.name for path in unpacked.files[0].parent.iterdir()) == [CONFIG, WEIGHTS]
    for file in unpacked.files:
        assert file.read_bytes() == (adapter / file.name).read_bytes()


def zip_with(archive: Path, **contents: bytes) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in contents.items():
            pack.writestr(name, content)


def tar_with(archive: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(archive, "w:gz") as pack:
        for member, content in members:
            member.size = len(content)
            pack.addfile(member, io.BytesIO(content))


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


# What is taken


def test_loose_files_are_taken(adapter: Path, upload: Path, unpacked: Callable[..., Unpacked]) -> None:
    for file in adapter.iterdir():
        (upload / file.name).write_bytes(file.read_bytes())
    assert_same_adapter(unpacked(), adapter)


@pytest.mark.parametrize("top", ["", "my-adapter", "./runs/checkpoint-30"])
@pytest.mark.parametrize("name", ["adapter.zip", "Adapter.ZIP", "adapter.tar", "adapter.tar.gz", "adapter.tgz"])
def test_an_archive_is_taken_with_and_without_a_folder_inside(
    name: str, top: str, adapter: Path, upload: Path, unpacked: Callable[..., Unpacked]
) -> None:
    pack = zipped if name.lower().endswith(".zip") else tarred
    pack(adapter, upload / name, top)
    assert_same_adapter(unpacked(), adapter)


@pytest.mark.parametrize(("pack", "name"), [(zipped, "adapter.zip"), (tarred, "adapter.tgz")])
def test_files_of_no_use_for_serving_are_not_kept_but_named(
    pack: Callable[..., Path], name: str, adapter: Path, upload: Path, unpacked: Callable[..., Unpacked]
) -> None:
    (adapter / "README.md").write_text("# Mine")
    (adapter / "tokenizer.json").write_text("{}")
    pack(adapter, upload / name, "mine")
    taken = unpacked()
    assert taken.ignored == ("mine/README.md", "mine/tokenizer.json")
    assert sorted(path.name for path in taken.files[0].parent.iterdir()) == [CONFIG, WEIGHTS]


# What is incomplete


def test_an_upload_of_nothing_is_refused(refusal: Callable[..., Finding]) -> None:
    assert refusal().check == "files"


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(missing: str, adapter: Path, upload: Path, refusal: Callable[..., Finding]) -> None:
    (adapter / missing).unlink()
    (adapter / "model.safetensors").write_bytes(b"x")
    zipped(adapter, upload / "adapter.zip")
    finding = refusal()
    assert finding.file == missing
    assert "model.safetensors" in finding.found


def test_an_empty_file_is_refused(adapter: Path, upload: Path, refusal: Callable[..., Finding]) -> None:
    (upload / CONFIG).write_bytes((adapter / CONFIG).read_bytes())
    (upload / WEIGHTS).touch()
    assert "is empty" in refusal().message


def test_an_archive_beside_other_files_is_refused(adapter: Path, upload: Path, refusal: Callable[..., Finding]) -> None:
    zipped(adapter, upload / "adapter.zip")
    (upload / CONFIG).write_bytes((adapter / CONFIG).read_bytes())
    assert "mixes" in refusal().message


def test_two_adapters_in_one_archive_are_refused(adapter: Path, upload: Path, refusal: Callable[..., Finding]) -> None:
    content = {f"{top}/{file.name}": file.read_bytes() for top in ("a", "b") for file in adapter.iterdir()}
    zip_with(upload / "two.zip", **content)
    assert "twice" in refusal().message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_twice_in_an_archive_is_refused(
    adapter: Path, upload: Path, refusal: Callable[..., Finding]
) -> None:
    with zipfile.ZipFile(zipped(adapter, upload / "adapter.zip"), "a") as pack:
        pack.writestr(CONFIG, "{}")
    assert "twice" in refusal().message


def test_files_from_two_folders_of_an_archive_are_not_put_together(
    adapter: Path, upload: Path, refusal: Callable[..., Finding]
) -> None:
    content = {f"{file.suffix}/{file.name}": file.read_bytes() for file in adapter.iterdir()}
    zip_with(upload / "apart.zip", **content)
    assert "different folders" in refusal().message


# What is dangerous

OUTSIDE = ["../adapter_config.json", "a/../../adapter_config.json", "/etc/passwd", "C:/x", "..\\x", "a\\..\\x"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_out_of_a_zip_is_refused(name: str, upload: Path, refusal: Callable[..., Finding]) -> None:
    zip_with(upload / "slip.zip", **{name: b"{}"})
    assert "path that is not allowed" in refusal().message


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_out_of_a_tar_is_refused(name: str, upload: Path, refusal: Callable[..., Finding]) -> None:
    tar_with(upload / "slip.tgz", (tar_member(name), b"{}"))
    assert "path that is not allowed" in refusal().message


def test_a_name_that_a_zip_hides_behind_a_nul_is_refused(upload: Path, refusal: Callable[..., Finding]) -> None:
    zip_with(upload / "nul.zip", **{f"{CONFIG}#evil": b"{}"})
    (upload / "nul.zip").write_bytes((upload / "nul.zip").read_bytes().replace(b"#evil", b"\0evil"))
    assert "path that is not allowed" in refusal().message


def test_nothing_is_written_outside_the_destination(
    adapter: Path, upload: Path, tmp_path: Path, refusal: Callable[..., Finding]
) -> None:
    before = {path for path in tmp_path.rglob("*") if "unpacked" not in path.parts}
    zip_with(upload / "slip.zip", **{"../../escaped.json": b"{}", CONFIG: b"{}"})
    refusal()
    after = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "unpacked")}
    assert after == before | {upload / "slip.zip"}


@pytest.mark.parametrize("name", [CONFIG, "README.md"])
def test_a_link_in_a_zip_is_refused(name: str, upload: Path, refusal: Callable[..., Finding]) -> None:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(upload / "link.zip", "w") as pack:
        pack.writestr(entry, "/etc/passwd")
    assert refusal().found == "a link"


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
    ],
)
@pytest.mark.parametrize("name", [CONFIG, "README.md"])
def test_a_link_or_a_device_in_a_tar_is_refused(
    name: str, kind: bytes, word: str, upload: Path, refusal: Callable[..., Finding]
) -> None:
    tar_with(upload / "special.tgz", (tar_member(name, kind, "/etc/passwd"), b""))
    assert word in refusal().found


def test_a_link_among_loose_files_is_refused(adapter: Path, upload: Path, refusal: Callable[..., Finding]) -> None:
    (upload / CONFIG).write_bytes((adapter / CONFIG).read_bytes())
    (upload / WEIGHTS).symlink_to(adapter / WEIGHTS)
    assert "no plain file" in refusal().message


def test_an_archive_in_an_archive_is_refused(
    adapter: Path, upload: Path, tmp_path: Path, refusal: Callable[..., Finding]
) -> None:
    zipped(adapter, tmp_path / "inner.zip")
    zip_with(upload / "outer.zip", **{"inner.zip": (tmp_path / "inner.zip").read_bytes()})
    assert refusal().found == "a nested archive"


def test_an_encrypted_zip_is_refused(adapter: Path, upload: Path, refusal: Callable[..., Finding]) -> None:
    data = bytearray(zipped(adapter, upload / "adapter.zip").read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    (upload / "adapter.zip").write_bytes(data)
    assert refusal().found == "encrypted"


@pytest.mark.parametrize("name", ["weights.bin", "adapter_model.pt", "model.PTH", "x.pkl", "training_args.bin"])
def test_a_pickle_by_name_is_refused_loose_and_packed(
    name: str, adapter: Path, upload: Path, tmp_path: Path, refusal: Callable[..., Finding]
) -> None:
    (adapter / name).write_bytes(b"anything")
    zipped(adapter, upload / "adapter.zip")
    assert refusal().check == "disguise"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix", "pickle"),
        (b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01", "pickle"),
        (b"PK\x03\x04" + bytes(60), "PyTorch"),
        (b"\x1f\x8b" + bytes(60), "gzip"),
        (b"GGUF" + bytes(60), "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_a_file_of_another_format_under_the_name_of_the_weights_is_refused(
    content: bytes, word: str, packed: bool, adapter: Path, upload: Path, refusal: Callable[..., Finding]
) -> None:
    (adapter / WEIGHTS).write_bytes(content)
    if packed:
        zipped(adapter, upload / "adapter.zip")
    else:
        for file in adapter.iterdir():
            (upload / file.name).write_bytes(file.read_bytes())
    finding = refusal()
    assert finding.check == "disguise"
    assert word in finding.found


# What is too much


@pytest.mark.parametrize("name", [WEIGHTS, "README.md"])
def test_a_zip_bomb_is_refused_by_its_declared_size(name: str, upload: Path, refusal: Callable[..., Finding]) -> None:
    zip_with(upload / "bomb.zip", **{name: bytes(8 * MIB)})
    assert "unpacks to more than" in refusal().message


def test_a_tar_bomb_is_refused_while_it_unpacks(upload: Path, refusal: Callable[..., Finding]) -> None:
    tar_with(upload / "bomb.tgz", (tar_member("README.md"), bytes(8 * MIB)), (tar_member(CONFIG), b"{}"))
    assert "unpacks to more than" in refusal().message


def test_a_zip_that_lies_about_its_sizes_is_refused(upload: Path, refusal: Callable[..., Finding]) -> None:
    zip_with(upload / "lie.zip", **{WEIGHTS: bytes(6 * MIB), CONFIG: b"{}"})
    data = (upload / "lie.zip").read_bytes()
    (upload / "lie.zip").write_bytes(data.replace((6 * MIB).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    assert refusal().check == "archive"


@pytest.mark.parametrize(("pack", "name"), [(zipped, "adapter.zip"), (tarred, "adapter.tgz")])
def test_more_bytes_than_the_limit_are_refused(
    pack: Callable[..., Path], name: str, adapter: Path, upload: Path, refusal: Callable[..., Finding]
) -> None:
    pack(adapter, upload / name)
    assert refusal(file_bytes=1000).message == f"{WEIGHTS} is larger than 1000 bytes."


def test_an_upload_over_the_total_is_refused_before_it_is_read(
    adapter: Path, upload: Path, refusal: Callable[..., Finding]
) -> None:
    zipped(adapter, upload / "adapter.zip")
    finding = refusal(total_bytes=1000)
    assert finding.check == "size"
    assert finding.expected == "at most 1000 bytes"


@pytest.mark.parametrize(("pack", "name"), [(zipped, "many.zip"), (tarred, "many.tgz")])
def test_too_many_members_are_refused(
    pack: Callable[..., Path], name: str, adapter: Path, upload: Path, refusal: Callable[..., Finding]
) -> None:
    for number in range(20):
        (adapter / f"{number}.txt").touch()
    pack(adapter, upload / name)
    assert "more than 10 members" in refusal(members=10).message


def test_a_configuration_of_megabytes_is_refused(adapter: Path, upload: Path, refusal: Callable[..., Finding]) -> None:
    (adapter / CONFIG).write_text("{" + " " * 2 * MIB + "}")
    zipped(adapter, upload / "adapter.zip")
    finding = refusal()
    assert finding.check == "size"
    assert finding.file == CONFIG


def test_a_tar_header_of_gigabytes_is_not_read_into_memory(upload: Path, refusal: Callable[..., Finding]) -> None:
    name = tar_member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    name.size = 2**33
    (upload / "long.tar").write_bytes(name.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    assert "too large" in refusal().message


def test_a_tar_of_nested_long_names_is_refused(upload: Path, refusal: Callable[..., Finding]) -> None:
    name = tar_member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    name.size = 5
    (upload / "deep.tar").write_bytes((name.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 3000)
    assert refusal().check == "archive"


# What is damaged


@pytest.mark.parametrize("name", ["junk.zip", "junk.tar", "junk.tar.gz", "junk.tgz", "junk.7z", "junk.tar.xz"])
def test_junk_under_an_archives_name_is_refused(name: str, upload: Path, refusal: Callable[..., Finding]) -> None:
    (upload / name).write_bytes(os.urandom(5000))
    assert refusal().check == "archive"


@pytest.mark.parametrize(("pack", "name"), [(zipped, "adapter.zip"), (tarred, "adapter.tgz"), (tarred, "adapter.tar")])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_an_archive_that_was_cut_off_is_refused(
    share: float,
    pack: Callable[..., Path],
    name: str,
    adapter: Path,
    upload: Path,
    refusal: Callable[..., Finding],
) -> None:
    data = pack(adapter, upload / name).read_bytes()
    (upload / name).write_bytes(data[: int(len(data) * share)])
    assert refusal().check in ("archive", "files")


def pristine_archives() -> dict[str, bytes]:
    """A zip and a tar of a few hundred bytes, to be damaged."""
    zip_file, tar_file = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zip_file, "w") as pack_zip, tarfile.open(fileobj=tar_file, mode="w") as pack_tar:
        for name in (CONFIG, WEIGHTS):
            pack_zip.writestr(name, b"{}")
            pack_tar.addfile(member := tar_member(name), io.BytesIO(b"{}"))
            member.size = 2
    return {"adapter.zip": zip_file.getvalue(), "adapter.tar": tar_file.getvalue()}


PRISTINE = pristine_archives()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(PRISTINE)),
    place=st.floats(0, 1, exclude_max=True),
    damage=st.binary(min_size=1, max_size=12),
)
def test_whatever_is_damaged_in_an_archive_only_a_refusal_is_raised(
    name: str, place: float, damage: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    data = bytearray(PRISTINE[name])
    start = int(place * len(data))
    data[start : start + len(damage)] = damage
    (folder / "upload").mkdir()
    (folder / "upload" / name).write_bytes(data)
    try:
        taken = unpack(folder / "upload", folder / "unpacked", Limits())
    except Rejected:
        return
    assert [file.name for file in taken.files] == [CONFIG, WEIGHTS]
