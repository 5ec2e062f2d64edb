"""Checks that both files of an adapter are signed with one of a department's keys, themselves or by their digests."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from serving.adapters.examination.minisign import (
    BadSignature,
    PublicKey,
    Signature,
    read_public_key,
    read_signature,
    verify,
)
from serving.adapters.examination.report import Report, shown
from serving.adapters.reading.companions import SIGNATURE_ENDING, SUMS
from serving.adapters.reading.digest import file_digest
from serving.adapters.reading.names import CONFIG, WEIGHTS

_ADVICE = (
    f"Run `sha256sum {CONFIG} {WEIGHTS} > {SUMS}` and `minisign -Sm {SUMS}` in the adapter's folder, or "
    f"`minisign -Sm {CONFIG} {WEIGHTS}`, and upload what they wrote beside the two files."
)


def check_signatures(folder: Path, companions: Mapping[str, bytes], public_keys: Sequence[str], report: Report) -> None:
    """Tell the report who has signed an adapter, as the fact `signed_by`, or what is wrong with its signature."""
    keys = {key.key_id: key for key in map(read_public_key, public_keys)}
    try:
        if f"{SUMS}{SIGNATURE_ENDING}" in companions:
            comment, key = _check_sums(folder, companions, keys)
        else:
            comment, key = _check_each(folder, companions, keys)
    except BadSignature as error:
        report.error(
            "signature",
            f"The adapter is not signed as your department requires: {error}.",
            expected=f"a signature with one of the keys {', '.join(keys)}",
            advice=_ADVICE,
        )
    else:
        report.facts["signed_by"] = f"{key} ({shown(comment.decode(errors='replace'), 200)})" if comment else key


def _check_sums(folder: Path, companions: Mapping[str, bytes], keys: Mapping[str, PublicKey]) -> tuple[bytes, str]:
    if SUMS not in companions:
        raise BadSignature(f"{SUMS}{SIGNATURE_ENDING} is there, but {SUMS} is not")
    with tempfile.NamedTemporaryFile(dir=folder.parent) as sums:
        sums.write(companions[SUMS])
        sums.flush()
        signature = _check(Path(sums.name), SUMS, companions, keys)
    signed = dict(_sums(companions[SUMS]))
    for name in (CONFIG, WEIGHTS):
        if name not in signed:
            raise BadSignature(f"{SUMS} does not name {name}")
        if signed[name] != file_digest(folder / name):
            raise BadSignature(f"{name} has another SHA-256 than {SUMS} says")
    return signature.comment, signature.key_id


def _check_each(folder: Path, companions: Mapping[str, bytes], keys: Mapping[str, PublicKey]) -> tuple[bytes, str]:
    if not any(f"{name}{SIGNATURE_ENDING}" in companions for name in (CONFIG, WEIGHTS)):
        raise BadSignature("there is no signature beside it")
    _check(folder / CONFIG, CONFIG, companions, keys)
    signature = _check(folder / WEIGHTS, WEIGHTS, companions, keys)
    return signature.comment, signature.key_id


def _check(file: Path, name: str, companions: Mapping[str, bytes], keys: Mapping[str, PublicKey]) -> Signature:
    content = companions.get(f"{name}{SIGNATURE_ENDING}")
    if content is None:
        raise BadSignature(f"{name}{SIGNATURE_ENDING} is missing")
    try:
        signature = read_signature(content)
        key = keys.get(signature.key_id)
        if key is None:
            raise BadSignature(f"the key {signature.key_id} is none of your department's")
        verify(file, signature, key)
    except BadSignature as error:
        raise BadSignature(f"of {name}{SIGNATURE_ENDING}, {error}") from None
    return signature


def _sums(content: bytes) -> list[tuple[str, str]]:
    """(name, digest) of each line, as sha256sum writes them."""
    found = []
    for line in content.decode(errors="replace").splitlines():
        digest, _, name = line.strip().partition(" ")
        found.append((name.lstrip(" *").removeprefix("./"), digest.lower()))
    return found
