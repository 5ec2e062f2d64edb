"""Searches, sorts and pages the rows of a list page, as its query string asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

PER_PAGE = 25

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """One page of rows and how it came about; `sort` is a column's key, with "-" in front when descending."""

    page: Page[Row]
    query: str
    sort: str

    @property
    def is_narrowed(self) -> bool:
        """Whether rows may be missing because of a search."""
        return bool(self.query)


def listing(
    request: HttpRequest,
    rows: QuerySet[Row, Any],
    *,
    search: Sequence[str],
    sorts: Mapping[str, str],
    default: str,
) -> Listing[Row]:
    """The rows that a page shows.

    Args:
        search: the fields in which the text of `?q=` may occur, in any of them.
        sorts: a column's key in `?sort=` → the field that it sorts by.
        default: the sort when none, or an unknown one, is asked for.
    """
    query = request.GET.get("q", "").strip()
    if query:
        wanted = Q()
        for field in search:
            wanted |= Q(**{f"{field}__icontains": query})
        rows = rows.filter(wanted)
    sort = request.GET.get("sort", default)
    if sort.removeprefix("-") not in sorts:
        sort = default
    direction = "-" if sort.startswith("-") else ""
    ordered = rows.order_by(direction + sorts[sort.removeprefix("-")], f"{direction}pk")
    return Listing(Paginator(ordered, PER_PAGE).get_page(request.GET.get("page")), query, sort)
