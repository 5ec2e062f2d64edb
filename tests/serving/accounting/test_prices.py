"""What tokens cost."""

from decimal import Decimal

from serving.accounting.prices import FREE, Prices, cost_of

PRICES = Prices(prompt=Decimal("2.5"), cached=Decimal("1.25"), completion=Decimal(10))


def test_each_kind_of_token_has_its_own_price_per_million() -> None:
    assert cost_of(PRICES, prompt_tokens=1_000_000, cached_tokens=0, completion_tokens=0) == Decimal("2.5")
    assert cost_of(PRICES, prompt_tokens=1_000_000, cached_tokens=400_000, completion_tokens=0) == Decimal("2.0")
    assert cost_of(PRICES, prompt_tokens=0, cached_tokens=0, completion_tokens=3) == Decimal("0.00003")


def test_an_engine_that_counts_more_cached_tokens_than_prompt_tokens_makes_nothing_cheaper_than_free() -> None:
    assert cost_of(PRICES, prompt_tokens=2, cached_tokens=5, completion_tokens=0) == Decimal("0.0000025")


def test_without_prices_everything_is_free() -> None:
    assert cost_of(FREE, prompt_tokens=10, cached_tokens=5, completion_tokens=10) == 0
