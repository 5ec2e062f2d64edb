"""The small files beside an adapter that are read at its intake and not served: its card, its signatures."""

from collections.abc import Iterable

from serving.adapters.reading.member import Member
from serving.adapters.reading.names import CONFIG, WEIGHTS

CARD = "README.md"
SUMS = "SHA256SUMS"
SIGNATURE_ENDING = ".minisig"
SIGNATURES = tuple(f"{name}{SIGNATURE_ENDING}" for name in (SUMS, CONFIG, WEIGHTS))

_KIB = 1024
_LONGEST = {CARD: 256 * _KIB, SUMS: 64 * _KIB} | dict.fromkeys(SIGNATURES, 4 * _KIB)
# Checkpoints have cards, too; more than so many are no adapter's.
_MOST = 16


def is_companion(name: str, size: int) -> bool:
    """Whether a file of this name and size beside an adapter is worth fetching."""
    return size <= _LONGEST.get(name, -1)


class Companions:
    """Those of one upload, by their paths; bounded in number and size, so that memory is, too."""

    def __init__(self) -> None:
        self._found: dict[str, bytes] = {}

    def take(self, member: Member) -> None:
        """Read a member if it is a companion; one that is too long for that is left alone."""
        longest = _LONGEST.get(member.path.rpartition("/")[2])
        if longest is None or member.path in self._found or len(self._found) >= _MOST:
            return
        content = b""
        for chunk in member.chunks():
            content += chunk
            if len(content) > longest:
                return
        self._found[member.path] = content

    def beside(self, paths: Iterable[str]) -> dict[str, bytes]:
        """File name → content of those in the folder in which these members lie."""
        folders = {path.rpartition("/")[0] for path in paths}
        return {
            path.rpartition("/")[2]: content
            for path, content in self._found.items()
            if path.rpartition("/")[0] in folders
        }
