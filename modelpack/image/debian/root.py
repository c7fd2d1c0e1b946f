"""A root file system from Debian packages without running any: what their scripts would do is done here by hand.

That is little, because only libraries and python3 are in it: the merged /usr links, users, the bundle of CA
certificates, name service, dpkg's records in the form that scanners read (`var/lib/dpkg/status.d`).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from modelpack.errors import EcomdeployError
from modelpack.image import tree
from modelpack.image.debian import deb
from modelpack.image.debian.lock import path_of
from modelpack.image.oci.rooted import parts_of
from modelpack.image.parts import Deb
from modelpack.image.tree import Entry

# Debian 12 keeps these as links into /usr; packages still ship some files below the old names
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# nobody reads manuals in a container; licences (usr/share/doc/*/copyright) stay. Python converts character sets by
# itself: iconv's tables (gconv) are for C programs, and what is in glibc (UTF-8, ASCII) needs none
DROPPED = (
    *("usr/share/man/", "usr/share/info/", "usr/share/lintian/", "usr/share/locale/", "usr/share/bug/"),
    *("usr/share/gcc/", "usr/lib/x86_64-linux-gnu/gconv/"),
)
DOCUMENTS = "usr/share/doc/"
CERTIFICATES = "usr/share/ca-certificates/"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
FOLDERS = {
    "tmp": 0o1777,
    "var/tmp": 0o1777,
    "proc": 0o755,
    "sys": 0o755,
    "dev": 0o755,
    "run": 0o755,
    "home": 0o755,
}
USER = 65532
USERS = f"""root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
nonroot:x:{USER}:{USER}:nonroot:/home/nonroot:/usr/sbin/nologin
"""
GROUPS = f"""root:x:0:
nogroup:x:65534:
nonroot:x:{USER}:
"""
NAME_SERVICE = """passwd: files
group: files
hosts: files dns
networks: files
protocols: files
services: files
"""


def entries(debs: Sequence[Deb], downloads: Path) -> Iterator[Entry]:
    """All entries of the base layer. Raises EcomdeployError when a package is missing or not readable."""
    yield from (tree.link(name, f"usr/{name}") for name in MERGED)
    yield from (tree.folder(f"usr/{name}") for name in MERGED)
    yield from (tree.folder(path, mode) for path, mode in sorted(FOLDERS.items()))
    yield tree.folder("home/nonroot")
    authorities: list[tuple[str, bytes]] = []
    for item in sorted(debs, key=lambda item: item.name):
        package = deb.read(path_of(item, downloads))
        yield tree.of_bytes(f"var/lib/dpkg/status.d/{item.name}", package.control.encode())
        for entry in _contents(package.data, item.name):
            if entry.path.startswith(CERTIFICATES) and entry.path.endswith(".crt"):
                with entry.open() as file:
                    authorities.append((entry.path, file.read()))
            yield entry
    yield from _write(authorities)


def _write(authorities: Iterable[tuple[str, bytes]]) -> Iterator[Entry]:
    yield tree.of_bytes("etc/passwd", USERS.encode())
    yield tree.of_bytes("etc/group", GROUPS.encode())
    yield tree.of_bytes("etc/nsswitch.conf", NAME_SERVICE.encode())
    bundle = b"".join(data.rstrip(b"\n") + b"\n" for _, data in sorted(authorities))
    if bundle:
        yield tree.of_bytes(BUNDLE, bundle)
        # where libssl looks by default; the links are the openssl package's, which only scripts need
        yield tree.link("usr/lib/ssl/certs", "/etc/ssl/certs")
        yield tree.link("usr/lib/ssl/cert.pem", f"/{BUNDLE}")


def _contents(data: tarfile.TarFile, package: str) -> Iterator[Entry]:
    for member in data:
        path = merge_usr("/".join(parts_of(member.name)))
        if not path or _is_unwanted(path):
            continue
        if member.isdir():
            # merged names are links already
            if path not in MERGED:
                yield tree.folder(path, FOLDERS.get(path, 0o755))
        elif member.issym():
            yield tree.link(path, member.linkname)
        elif member.isreg() or member.islnk():
            # a hard link becomes a second copy: the same bytes, and no order to keep
            yield _file(data, member, path)
        else:
            raise EcomdeployError(f"{package}: {member.name} is a device, which an image cannot hold")


def _file(data: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Entry:
    file = data.extractfile(member)
    assert file is not None, "regular members have content"
    return tree.of_bytes(path, file.read(), executable=bool(member.mode & 0o111))


def merge_usr(path: str) -> str:
    """The path with /bin, /lib and their like moved below /usr."""
    first, slash, rest = path.partition("/")
    return f"usr/{path}" if slash and first in MERGED and rest else path


def _is_unwanted(path: str) -> bool:
    if path.startswith(DOCUMENTS):
        return not path.endswith("/copyright")
    return f"{path}/".startswith(DROPPED)
