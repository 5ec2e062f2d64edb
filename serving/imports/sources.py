"""Which places a person may import into a department from, and how one is opened.

A folder and a bucket are open to the departments that their setting names, and to admins; to everybody else they do not
exist. Hugging Face is open to all where it is switched on, with the platform's token only for what its setting names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from polygraft.conf import config
from polygraft.places import BucketSource, FolderSource
from serving.imports.origin import Origin, SourceProblem
from tenants.models import Department, User

FOLDER, BUCKET, HUGGING_FACE = "folder", "bucket", "hugging_face"


@dataclass(frozen=True, slots=True)
class Source:
    """A place that may be chosen; Hugging Face is one without a name."""

    kind: str
    name: str = ""


def sources_of(person: User | None, department: Department) -> list[Source]:
    """The places that this person may import into this department from."""
    settings = config()
    named: list[tuple[str, Mapping[str, FolderSource | BucketSource]]] = [
        (FOLDER, settings.adapter_folders),
        (BUCKET, settings.adapter_buckets),
    ]
    found = [
        Source(kind, name)
        for kind, places in named
        for name, place in sorted(places.items())
        if _is_open(place, person, department)
    ]
    return [*found, Source(HUGGING_FACE)] if settings.hugging_face else found


def source_open(source: Mapping[str, Any], person: User | None, department: Department) -> Origin:
    """The place that a request names.

    Raises:
        SourceProblem: there is none for this person, or what it says of it makes no sense.
    """
    kind, name, path = source["kind"], source.get("name", ""), source.get("path", "")
    wanted = Source(kind) if kind == HUGGING_FACE else Source(kind, name)
    if wanted not in sources_of(person, department):
        raise SourceProblem(_NOT_HERE[kind].format(name=name[:64]))
    # Imported when needed: their libraries are large, and most processes never ask.
    if kind == FOLDER:
        from serving.imports.folder import FolderOrigin

        return FolderOrigin(name, config().adapter_folders[name].path, path)
    if kind == BUCKET:
        from serving.imports.bucket import BucketOrigin

        return BucketOrigin(name, config().adapter_buckets[name], path)
    from serving.imports.hub import HubOrigin

    repo = source.get("repo", "")
    if not repo:
        raise SourceProblem("Name the repository, such as acme/support-bot.")
    return HubOrigin(config().hf_endpoint, _token(repo, person, department), repo, source.get("revision", ""), path)


_NOT_HERE = {
    FOLDER: "There is no folder {name} to import from.",
    BUCKET: "There is no bucket {name} to import from.",
    HUGGING_FACE: "This platform does not import from Hugging Face.",
}


def _is_open(place: FolderSource | BucketSource, person: User | None, department: Department) -> bool:
    return department.slug in place.departments or (person is not None and person.is_platform_admin)


def _token(repo: str, person: User | None, department: Department) -> str:
    """The platform's token where this import may use it: it opens repositories that are not for everybody."""
    settings = config()
    by_admin = person is not None and person.is_platform_admin
    allowed = any(
        fnmatchcase(repo, pattern) and department.slug in slugs for pattern, slugs in settings.hf_token_repos.items()
    )
    return settings.hf_token.get_secret_value() if by_admin or allowed else ""
