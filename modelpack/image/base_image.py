"""A base from a registry: its layers as they are, checked against its config, listed for manifest and libraries."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from hashlib import file_digest, sha256
from typing import IO

from modelpack.errors import BadInput
from modelpack.image.binaries import elf
from modelpack.image.binaries.elf import LayerFacts, LoaderNeeds, resolve
from modelpack.image.layer import Layer
from modelpack.image.oci.blob import BlobSource, tar_stream
from modelpack.image.oci.descriptor import DIGEST, LAYER, Descriptor, layers_and_diff_ids
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.rooted import parts_of
from modelpack.image.oci.tar_entry import TarEntry
from modelpack.image.oci.unpack import OPAQUE, WHITEOUT
from modelpack.image.parts import BaseImage
from modelpack.progress import Progress

OTHERS_READ, OTHERS_ENTER = 0o004, 0o001


def layers(base: BaseImage, layout: Layout, progress: Progress) -> list[Layer]:
    """Pull the image into the layout and describe its layers.

    Raises BadInput unless the reference has a digest, EcomdeployError when it cannot be pulled or does not verify.
    """
    from modelpack.image.registry.client import RegistryClient
    from modelpack.image.registry.pull import pull

    name, _, digest = base.reference.partition("@")
    host, slash, repository = name.partition("/")
    if not slash or not DIGEST.fullmatch(digest):
        raise BadInput(f"base image {base.reference!r} must be host/name@sha256:<digest>")
    with RegistryClient(url_of(host), repository, base.credentials) as registry:
        manifest_digest = pull(registry, layout, digest, progress)
    manifest = layout.manifest(manifest_digest)
    closed: set[str] = set()
    links: dict[str, str] = {}
    found = []
    for number, (layer, diff_id) in enumerate(layers_and_diff_ids(manifest, layout.read), 1):
        facts = list_facts(layout, layer, diff_id, closed, links)
        pointer = Descriptor(_oci_type(layer.media_type), layer.digest, layer.size)
        title = f"layer {number} of {base.reference}"
        found.append(Layer("base", title, pointer, diff_id, facts, True))
    return found


def url_of(host: str) -> str:
    """https, but for this machine."""
    name = host.rpartition(":")[0] or host
    return f"http://{host}" if name in ("localhost", "127.0.0.1", "[::1]") else f"https://{host}"


def _oci_type(media_type: str) -> str:
    """Docker's name for a layer type as OCI's; the bytes are the same."""
    if media_type.startswith(LAYER):
        return media_type
    return f"{LAYER}+{media_type.rpartition('.')[2]}" if media_type.endswith((".gzip", ".zstd")) else LAYER


def list_facts(
    layout: BlobSource, layer: Descriptor, diff_id: str, closed: set[str], links: dict[str, str]
) -> LayerFacts:
    """What a layer holds. `closed` gathers folders that the server's user cannot enter, `links` all links so far."""
    files: dict[str, str] = {}
    needs: dict[str, LoaderNeeds] = {}
    own_links: dict[str, str] = {}
    hidden: list[str] = []
    private: dict[str, None] = {}
    with (
        tar_stream(layout, layer, diff_id) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=TarEntry) as tar,
    ):
        for member in tar:
            path = _real("/".join(parts_of(member.name)), links)
            folder, _, last = path.rpartition("/")
            if last.startswith(WHITEOUT):
                hidden.append(
                    folder if last == OPAQUE else f"{folder}/{last.removeprefix(WHITEOUT)}".lstrip("/")
                )
            elif member.isdir():
                (closed.discard if member.mode & OTHERS_ENTER else closed.add)(path)
            elif member.issym():
                own_links[path] = links[path] = member.linkname
            elif member.islnk():
                target = _real("/".join(parts_of(member.linkname)), links)
                files[path] = files.get(target, "")
                if not files[path] or target in private:
                    private[path] = None
            elif member.isreg():
                content = tar.extractfile(member)
                assert content is not None, "regular members have content"
                files[path], asked = _measure(content)
                if asked is not None:
                    needs[path] = asked
                if not member.mode & OTHERS_READ or any(above in closed for above in _parents(path)):
                    private[path] = None
    return LayerFacts(files, own_links, needs, tuple(hidden), tuple(private))


def _parents(path: str) -> Iterator[str]:
    """The folders that lead to it."""
    return (path[:at] for at, letter in enumerate(path) if letter == "/")


def _real(path: str, links: dict[str, str]) -> str:
    """The path with links in its folders followed, its last component left as it is."""
    folder, slash, last = path.rpartition("/")
    return f"{resolve(folder, links)}/{last}" if slash else last


def _measure(content: IO[bytes]) -> tuple[str, LoaderNeeds | None]:
    head = content.read(len(elf.MAGIC))
    if head != elf.MAGIC:
        total = sha256(head)
        while piece := content.read(1 << 20):
            total.update(piece)
        return total.hexdigest(), None
    whole = io.BytesIO(head + content.read())
    asked = elf.needs(whole)
    whole.seek(0)
    return file_digest(whole, "sha256").hexdigest(), asked
