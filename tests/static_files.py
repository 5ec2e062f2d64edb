"""The middleware of static files as tests have it: every client loads it anew, but the files are listed only once."""

from typing import Any, ClassVar

from servestatic.middleware import ServeStaticMiddleware


class ListedOnce(ServeStaticMiddleware):
    """Serves what the first of its kind has found."""

    listed: ClassVar[dict[str, Any]] = {}

    def add_files_from_finders(self) -> None:
        """List them, unless one before has done so."""
        if not ListedOnce.listed:
            super().add_files_from_finders()
            ListedOnce.listed = self.files
        self.files = ListedOnce.listed
