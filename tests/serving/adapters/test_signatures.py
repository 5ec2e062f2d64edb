"""Signatures of adapters: what counts as signed, what is refused and in which words, and only where there are keys."""

import hashlib
import io
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from adapter_factory import small_adapter
from cast import Cast
from polygraft.live import redis_client
from serving.adapters.examination.minisign import BadSignature, read_public_key, read_signature, verify
from serving.adapters.intake import adapter_upload, version_take_in
from serving.adapters.signing import signing_key_add, signing_key_remove
from serving.fleet.registry import ENGINES_KEY
from serving.models import AdapterVersion, VersionState
from signer import (
    MINISIGN_KEY,
    MINISIGN_KEY_ID,
    MINISIGN_OLD_SIGNATURE,
    MINISIGN_SIGNATURE,
    MINISIGN_TEXT,
    Signer,
)
from tenants.models import AuditEvent

CONFIG, WEIGHTS, SUMS = "adapter_config.json", "adapter_model.safetensors", "SHA256SUMS"
SIGNER, STRANGER = Signer(7), Signer(8)


@pytest.fixture(autouse=True)
def _no_engines() -> None:
    redis_client().delete(ENGINES_KEY)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in small_adapter().write(tmp_path / "adapter").iterdir()}


def sums(files: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in (CONFIG, WEIGHTS)).encode()


def by_sums(files: dict[str, bytes], signer: Signer = SIGNER) -> dict[str, bytes]:
    return files | {SUMS: sums(files), f"{SUMS}.minisig": signer.sign(sums(files))}


def by_each(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {f"{name}.minisig": SIGNER.sign(files[name]) for name in (CONFIG, WEIGHTS)}


def taken_in(cast: Cast, files: dict[str, bytes]) -> AdapterVersion:
    version = adapter_upload(
        department=cast.support,
        name="fresh",
        base_model=cast.base_model,
        files=[(name, io.BytesIO(content)) for name, content in files.items()],
        by=None,
    )
    version_take_in(version.pk)
    version.refresh_from_db()
    return version


def words(version: AdapterVersion) -> str:
    return " ".join(finding["message"] for finding in version.report["findings"] if finding["check"] == "signature")


def demand(cast: Cast, public_key: str = SIGNER.public_key) -> None:
    signing_key_add(department=cast.support, name="release", public_key=public_key, by=cast.people["olga"])


@pytest.mark.parametrize("way", [by_sums, by_each])
def test_a_signed_adapter_is_taken_in_and_its_signer_kept(cast: Cast, files: dict[str, bytes], way) -> None:
    demand(cast)
    version = taken_in(cast, way(files))
    assert version.state == VersionState.READY
    assert version.report["facts"]["signed_by"] == "0000000000000007 (by a test)"
    # Signatures are no content: the same bytes, signed or not, are the same.
    assert sorted(version.report["facts"]["files"]) == [CONFIG, WEIGHTS]


def test_without_keys_nothing_need_be_signed(cast: Cast, files: dict[str, bytes]) -> None:
    assert taken_in(cast, files).state == VersionState.READY
    demand(cast)
    assert taken_in(cast, files).state == VersionState.REJECTED
    signing_key_remove(key=cast.support.signing_keys.get(), by=cast.people["olga"])
    assert taken_in(cast, files).state == VersionState.READY
    assert list(AuditEvent.objects.filter(action__startswith="signing_key").values_list("action", "actor_name")) == [
        ("signing_key.remove", "olga"),
        ("signing_key.add", "olga"),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files, "there is no signature beside it"),
        (lambda files: by_sums(files, STRANGER), "the key 0000000000000008 is none of your department's"),
        (lambda files: by_sums(files, Signer(7)), "the content is not what was signed"),
        (lambda files: by_sums(files) | {CONFIG: files[CONFIG] + b" "}, "adapter_config.json has another SHA-256"),
        (lambda files: by_sums(files) | {WEIGHTS: small_adapter(seed=9).weights()}, "has another SHA-256"),
        (lambda files: by_sums(files) | {SUMS: sums(files) + b"\n"}, "the content is not what was signed"),
        (lambda files: files | {f"{SUMS}.minisig": SIGNER.sign(sums(files))}, "but SHA256SUMS is not"),
        (
            lambda files: files | {SUMS: sums(files)[:93], f"{SUMS}.minisig": SIGNER.sign(sums(files)[:93])},
            "does not name adapter_model.safetensors",
        ),
        (
            lambda files: files | {f"{WEIGHTS}.minisig": SIGNER.sign(files[WEIGHTS])},
            "adapter_config.json.minisig is missing",
        ),
        (
            lambda files: by_each(files) | {f"{CONFIG}.minisig": SIGNER.sign(files[WEIGHTS])},
            "the content is not what was signed",
        ),
        (lambda files: by_sums(files) | {f"{SUMS}.minisig": b"nonsense"}, "no signature that minisign wrote"),
        (
            lambda files: (
                by_sums(files) | {f"{SUMS}.minisig": SIGNER.sign(sums(files)).replace(b"by a test", b"by somebody")}
            ),
            "its trusted comment is not what was signed",
        ),
    ],
)
def test_what_is_not_signed_well_is_refused_and_says_why(
    cast: Cast, files: dict[str, bytes], change, said: str
) -> None:
    demand(cast)
    version = taken_in(cast, change(files))
    assert version.state == VersionState.REJECTED
    assert said in words(version)


def test_what_the_real_minisign_wrote_is_verified(tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_bytes(MINISIGN_TEXT)
    key = read_public_key(f"untrusted comment: minisign public key {MINISIGN_KEY_ID}\n{MINISIGN_KEY}\n")
    assert key.key_id == MINISIGN_KEY_ID
    for content in (MINISIGN_SIGNATURE, MINISIGN_OLD_SIGNATURE):
        signature = read_signature(content)
        assert signature.key_id == MINISIGN_KEY_ID
        verify(file, signature, key)
    file.write_bytes(MINISIGN_TEXT + b".")
    for content in (MINISIGN_SIGNATURE, MINISIGN_OLD_SIGNATURE):
        with pytest.raises(BadSignature, match="not what was signed"):
            verify(file, read_signature(content), key)


@pytest.mark.parametrize("text", ["", "x", "pg_key", MINISIGN_KEY[:-4], MINISIGN_KEY + "AAAA", "ü" * 56, "a\nb\nc"])
def test_what_is_no_key_is_refused(cast: Cast, text: str) -> None:
    with pytest.raises(ValidationError, match="no minisign public key"):
        signing_key_add(department=cast.support, name="x", public_key=text, by=None)


def test_a_key_is_added_once(cast: Cast) -> None:
    demand(cast, MINISIGN_KEY)
    with pytest.raises(ValidationError, match=f"has the key {MINISIGN_KEY_ID} already"):
        demand(cast, f"untrusted comment: x\n{MINISIGN_KEY}")
