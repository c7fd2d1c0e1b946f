"""The file manifest and the content digest: over every file of an image but those that carry it
(docs/architecture/rooms/image.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from modelpack.image import tree
from modelpack.image.binaries.elf import LayerFacts, merge
from modelpack.image.layer import LayerPlan
from modelpack.image.oci.descriptor import digest_of, encode
from modelpack.image.tree import Entry
from modelpack.image.wheels.files import TARGET
from modelpack.server.hashing import FILE_MANIFEST

FORMAT = 2
OWN = "opt/ecomdeploy/"
LISTS = f"{OWN}files"
# container runtimes lay their own files over these, so what the image holds is never what the server would see
MOUNTED_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv"})
MOUNTED_FOLDERS = ("proc/", "sys/", "dev/", "run/", "tmp/", "var/run/")


def listed_files(layers: Sequence[LayerFacts]) -> dict[str, str]:
    """Path -> sha256 hex of every file that any user can read in the image as it runs."""
    files, _, _ = merge(layers)
    private = {path for layer in layers for path in layer.private}
    return {
        path: digest
        for path, digest in files.items()
        if path not in MOUNTED_FILES
        and path not in private
        and not path.startswith((*MOUNTED_FOLDERS, f"{LISTS}/"))
        and path != FILE_MANIFEST
    }


def plans(listed: Mapping[str, str], content_digest: str) -> Iterator[LayerPlan]:
    """The layers of the file manifest. What changes seldom has a list of its own: a push that changes the server or
    the model does not send the base's and the packages' again."""
    own, lists = dict(listed), {}
    for title, part in _apart(listed).items():
        data = encode(part)
        digest = digest_of(data).removeprefix("sha256:")
        path = f"{LISTS}/{digest}.json"
        lists[path] = digest
        own = {name: own[name] for name in own.keys() - part.keys()}
        yield _plan(f"files of the {title}", path, data)
    index = {"format": FORMAT, "content_digest": content_digest, "lists": lists, "files": own}
    yield _plan("content digest and files", FILE_MANIFEST, encode(index))


def _apart(listed: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The lists of their own; none without a file."""
    found = {
        "base": {path: digest for path, digest in listed.items() if not path.startswith(OWN)},
        "Python packages": {path: digest for path, digest in listed.items() if path.startswith(f"{TARGET}/")},
    }
    return {title: part for title, part in found.items() if part}


def _plan(title: str, path: str, data: bytes) -> LayerPlan:
    return LayerPlan("files", title, (path, digest_of(data)), partial(_entries, path, data))


def _entries(path: str, data: bytes) -> list[Entry]:
    return [tree.of_bytes(path, data)]
