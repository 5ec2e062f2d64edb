"""A safetensors file is read only as far as it is sound."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from adapter_factory import encoded, safetensors, small_adapter, with_header
from serving.adapters.examination.report import Finding, Rejected
from serving.adapters.reading.safetensors_file import read_header
from serving.adapters.reading.safetensors_values import examine, load

LONGEST = 1024**2


def refusal(path: Path, content: bytes) -> Finding:
    path.write_bytes(content)
    with pytest.raises(Rejected) as rejected:
        read_header(path, LONGEST)
    assert rejected.value.finding.check == "safetensors"
    return rejected.value.finding


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "adapter_model.safetensors"


def entry(begin: int, end: int, dtype: str = "F32", shape: tuple[int, ...] = (2,)) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def file_of(data: int, **entries: object) -> bytes:
    return with_header(json.dumps(entries).encode(), bytes(data))


def test_a_sound_file_is_read_as_the_reference_library_reads_it(file: Path) -> None:
    file.write_bytes(small_adapter(modules=["mlp.up_proj"]).weights())
    expected = load_file(file)
    tensors = read_header(file, LONGEST)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(load(file, tensor), expected[name].astype(np.float32))


def test_bfloat16_is_read_exactly(file: Path) -> None:
    values = np.array([[1.5, -2.0], [3e38, -0.0]], np.float32)
    exact = np.frombuffer(encoded(values, "BF16"), "<u2").astype(np.uint32) << 16
    file.write_bytes(safetensors({"x": ("BF16", (2, 2), encoded(values, "BF16"))}))
    np.testing.assert_array_equal(load(file, read_header(file, LONGEST)["x"]), exact.view(np.float32).reshape(2, 2))


def test_a_large_tensor_is_examined_to_its_end(file: Path) -> None:
    values = np.zeros(5 * 1024**2, np.float32)
    values[-1] = np.inf
    file.write_bytes(safetensors({"x": ("F32", values.shape, values.tobytes())}))
    content = examine(file, read_header(file, LONGEST)["x"])
    assert not content.finite
    assert not content.zero


@pytest.mark.parametrize("content", [b"", b"\0", bytes(8), b"\x01" + bytes(7)])
def test_an_empty_file_is_refused(content: bytes, file: Path) -> None:
    assert "empty or cut off" in refusal(file, content).message


def test_a_truncated_file_is_refused_at_every_length(file: Path) -> None:
    whole = file_of(8, x=entry(0, 8))
    for length in range(len(whole)):
        refusal(file, whole[:length])
    assert "truncated" in refusal(file, whole[:-1]).message


def test_bytes_after_the_last_tensor_are_refused(file: Path) -> None:
    assert "no tensor" in refusal(file, file_of(9, x=entry(0, 8))).message


def test_overlapping_tensors_are_refused(file: Path) -> None:
    assert "overlaps" in refusal(file, file_of(12, x=entry(0, 8), y=entry(4, 12))).message


def test_a_hole_between_tensors_is_refused(file: Path) -> None:
    assert "hole" in refusal(file, file_of(20, x=entry(0, 8), y=entry(12, 20))).message


def test_a_size_that_differs_from_the_shape_is_refused(file: Path) -> None:
    finding = refusal(file, file_of(8, x=entry(0, 8, shape=(3,))))
    assert (finding.tensor, finding.expected, finding.found) == ("x", "12 bytes", "8 bytes")


def test_a_header_longer_than_the_limit_is_not_read(file: Path) -> None:
    finding = refusal(file, with_header(b"{" + b" " * 2 * LONGEST + b"}", b""))
    assert finding.expected == f"a header of at most {LONGEST} bytes"


def test_a_header_that_claims_exabytes_is_refused(file: Path) -> None:
    refusal(file, (2**63).to_bytes(8, "little") + b"{}" + bytes(100))


def test_a_name_that_is_twice_in_the_header_is_refused(file: Path) -> None:
    one = json.dumps(entry(0, 8))
    assert "twice" in refusal(file, with_header(f'{{"x": {one}, "x": {one}}}'.encode(), bytes(8))).message


@pytest.mark.parametrize(
    "header", [b"[]", b"null", b"{", b"\xff\xfe", b'{"x": 1}', b'{"x": {}}', b"[" * 50_000, b'{"x": ' + b"9" * 9000]
)
def test_a_header_of_another_form_is_refused(header: bytes, file: Path) -> None:
    refusal(file, with_header(header, bytes(8)))


@pytest.mark.parametrize(
    "wrong",
    [
        entry(0, 8, dtype="F7"),
        entry(-8, 0),
        entry(8, 0),
        entry(0, 8) | {"shape": [-2]},
        entry(0, 8) | {"shape": [2.0]},
        entry(0, 8) | {"shape": [True, 2]},
        entry(0, 8) | {"shape": [2**62, 2**62]},
        entry(0, 8) | {"shape": [1] * 1000},
        entry(0, 8) | {"data_offsets": [0, 8, 16]},
        entry(0, 8) | {"data_offsets": ["0", "8"]},
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(wrong: dict[str, object], file: Path) -> None:
    assert refusal(file, file_of(8, x=wrong)).tensor == "x"


SOUND = safetensors({"x": ("F32", (2,), bytes(8)), "y": ("F16", (2, 2), bytes(8))})


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.binary(max_size=100).map(lambda header: with_header(header, b"")))
def test_random_bytes_are_refused(content: bytes, tmp_path: Path) -> None:
    refusal(tmp_path / "random", content + bytes(20))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(SOUND) - 1), damage=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_read_within_its_bounds_or_refused(place: int, damage: bytes, tmp_path: Path) -> None:
    content = SOUND[:place] + damage + SOUND[place + len(damage) :]
    file = tmp_path / "damaged"
    file.write_bytes(content)
    try:
        tensors = read_header(file, LONGEST)
    except Rejected:
        return
    assert sum(tensor.end - tensor.start for tensor in tensors.values()) <= len(content)
    assert all(8 <= tensor.start <= tensor.end <= len(content) for tensor in tensors.values())
