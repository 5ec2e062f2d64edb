"""The form of API keys."""

from hypothesis import given
from hypothesis import strategies as st

from tenants.key_format import PATTERN, hash_key, is_well_formed, key_hint, new_key


def test_a_new_key_is_well_formed_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(is_well_formed(key) and PATTERN.fullmatch(key) for key in keys)


@given(st.integers(0, 51), st.characters(codec="ascii", categories=["L", "N"]))
def test_one_wrong_character_makes_a_key_junk(place: int, character: str) -> None:
    key = new_key()
    damaged = key[:place] + character + key[place + 1 :]
    assert is_well_formed(damaged) == (damaged == key)


@given(st.text())
def test_junk_is_refused_without_an_error(junk: str) -> None:
    assert not is_well_formed(junk)
    assert not is_well_formed("pg_" + junk)


def test_the_hint_and_the_hash_do_not_give_the_key_away() -> None:
    key = new_key()
    assert key_hint(key) == f"{key[:7]}…{key[-4:]}"
    assert key not in hash_key(key)
    assert len(hash_key(key)) == 64
