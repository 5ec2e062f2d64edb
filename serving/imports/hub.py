"""A repository on a Hugging Face hub as a place to import from, pinned to the commit that its revision means."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm

from serving.adapters.store.store_errors import StoreUnavailable
from serving.imports.origin import Item, SourceProblem, plain_path

# Its accelerated transfer keeps caches of its own, and asks hosts that no setting here names.
constants.HF_HUB_DISABLE_XET = True


class HubOrigin:
    """One folder of a repository at one commit. Without a token, none is sent, whatever the environment holds."""

    def __init__(self, endpoint: str, token: str, repo: str, revision: str, path: str) -> None:
        self._endpoint = endpoint
        self._token: str | bool = token or False
        self._repo = repo
        self._revision = revision or "main"
        self._path = plain_path(path)
        self._commit = ""

    def items(self) -> Sequence[Item]:
        """The files of the folder, at the commit that the revision means now."""
        with self._answering():
            api = HfApi(endpoint=self._endpoint, token=self._token)
            info = api.model_info(self._repo, revision=self._revision, files_metadata=True, timeout=30)
        self._commit = info.sha or ""
        if not self._commit:
            raise StoreUnavailable(f"{self._endpoint} did not say which commit {self._revision} is.")
        prefix = f"{self._path}/" if self._path else ""
        return [
            Item(name=file.rfilename.removeprefix(prefix), size=file.size or 0, tag=file.blob_id or "")
            for file in info.siblings or ()
            if file.rfilename.startswith(prefix) and "/" not in file.rfilename.removeprefix(prefix)
        ]

    def bring(self, item: Item, folder: Path, told: Callable[[int], None]) -> None:
        """Download one file of that commit."""

        class Told(tqdm):  # type: ignore[misc]  # the hub's client tells progress bars
            """A progress bar that shows nothing, and passes on how many bytes came."""

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **{**options, "disable": True})

            def update(self, n: float | None = 1) -> bool | None:
                """Pass it on."""
                told(int(n or 0))
                return None

        with self._answering():
            path = hf_hub_download(
                self._repo,
                f"{self._path}/{item.name}" if self._path else item.name,
                revision=self._commit,
                endpoint=self._endpoint,
                token=self._token,
                local_dir=folder / "hub",
                tqdm_class=Told,
            )
        Path(path).rename(folder / item.name)

    def about(self) -> dict[str, Any]:
        """Which repository, and which commit its revision was."""
        return {
            "kind": "hugging_face",
            "endpoint": self._endpoint,
            "repo": self._repo,
            "revision": self._revision,
            "commit": self._commit,
            "path": self._path,
        }

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except RevisionNotFoundError as error:
            raise SourceProblem(f"{self._repo} has no revision {self._revision}.") from error
        except GatedRepoError as error:
            raise SourceProblem(
                f"{self._repo} is gated, and the platform's token has no access to it. Ask an admin."
            ) from error
        except RepositoryNotFoundError as error:
            raise SourceProblem(
                f"There is no repository {self._repo} on {self._endpoint}, or it is private."
            ) from error
        except HFValidationError as error:
            raise SourceProblem(f"{self._repo[:100]!r} is no repository's name, such as acme/support-bot.") from error
        except OfflineModeIsEnabled as error:
            raise SourceProblem("This platform works without Hugging Face (HF_HUB_OFFLINE is set).") from error
        except HfHubHTTPError as error:
            raise StoreUnavailable(
                f"{self._endpoint} answered {error.response.status_code} for {self._repo}."
            ) from error
        except (httpx.HTTPError, LocalEntryNotFoundError, ConnectionError) as error:
            raise StoreUnavailable(
                f"{self._endpoint} cannot be reached from the platform's network. An admin can set HF_ENDPOINT to a "
                "mirror; or upload the files."
            ) from error
