"""A Debian mirror of a few made-up packages on loopback, signed with a throw-away key."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import lzma
import pathlib
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pysequoia

from modelpack.image.debian.mirror import Mirror

SUITE = "bookworm"


def tar_of(files: Mapping[str, bytes | str], compression: str = "xz") -> bytes:
    """A tar of files (bytes) and symbolic links (str), folders made as dpkg's tars have them."""
    out = io.BytesIO()
    mode: Any = f"w:{compression}"
    with tarfile.open(fileobj=out, mode=mode) as tar:
        made: set[str] = set()
        for path, content in files.items():
            for parent in reversed(pathlib.PurePosixPath(path).parents[:-1]):
                if str(parent) not in made:
                    made.add(str(parent))
                    folder = tarfile.TarInfo(f"./{parent}/")
                    folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, 1_700_000_000
                    tar.addfile(folder)
            member = tarfile.TarInfo(f"./{path}")
            member.mtime, member.uid, member.uname = 1_700_000_000, 1000, "builder"
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                member.mode = 0o4755 if path.startswith(("usr/bin/", "bin/")) else 0o640
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def deb_of(control: str, files: Mapping[str, bytes | str]) -> bytes:
    """A .deb: deb(5)."""
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar_of({"control": control.encode()}),
        "data.tar.xz": tar_of(files),
    }
    out = b"!<arch>\n"
    for name, data in parts.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
        out += header.encode() + data + b"\n" * (len(data) % 2)
    return out


@dataclass
class FakeMirror:
    """`packages`: name -> (version, depends, files). Changed in place; `publish` writes the signed index anew."""

    root: pathlib.Path
    key: pysequoia.Tsk = field(
        default_factory=lambda: pysequoia.Tsk.generate("Archive <archive@example.org>")
    )
    packages: dict[str, tuple[str, str, dict[str, bytes | str]]] = field(default_factory=dict)
    provides: dict[str, str] = field(default_factory=dict)
    url: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def keyring(self) -> pathlib.Path:
        path = self.root / "archive.asc"
        path.write_text(str(self.key.extract_certificate()))
        return path

    @property
    def mirror(self) -> Mirror:
        return Mirror(self.url, "")

    def publish(
        self,
        key: pysequoia.Tsk | None = None,
        until: str = "",
        codename: str = SUITE,
        packed: bytes | None = None,
    ) -> None:
        """Pool and index of `packages`, or the index `packed` as it is; `-updates` stays empty."""
        stanzas = []
        for name, (version, depends, files) in self.packages.items():
            control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
            control += f"Depends: {depends}\n" if depends else ""
            control += f"Provides: {self.provides[name]}\n" if name in self.provides else ""
            data = deb_of(control, files)
            path = f"pool/main/{name}_{version}_amd64.deb"
            self.write(path, data)
            digest = hashlib.sha256(data).hexdigest()
            stanzas.append(f"{control}Filename: {path}\nSize: {len(data)}\nSHA256: {digest}\n")
        listed = lzma.compress("\n".join(stanzas).encode())
        self._index(SUITE, listed if packed is None else packed, key, until, codename)
        self._index(f"{SUITE}-updates", lzma.compress(b""), key, until, f"{codename}-updates")

    def write(self, path: str, data: bytes) -> None:
        target = self.root / "www" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def drop(self, name: str) -> None:
        """Delete every version of a package from the pool, as mirrors do."""
        for path in (self.root / "www/pool/main").glob(f"{name}_*"):
            path.unlink()

    def _index(self, suite: str, packed: bytes, key: pysequoia.Tsk | None, until: str, codename: str) -> None:
        name = "main/binary-amd64/Packages.xz"
        self.write(f"dists/{suite}/{name}", packed)
        release = f"Codename: {codename}\n" + (f"Valid-Until: {until}\n" if until else "")
        release += f"SHA256:\n {hashlib.sha256(packed).hexdigest()} {len(packed)} {name}\n"
        signer = (key or self.key).signer()
        signed = pysequoia.sign(signer, release.encode(), mode=pysequoia.SignatureMode.CLEAR)
        self.write(f"dists/{suite}/InRelease", signed)


@contextlib.contextmanager
def serving(root: pathlib.Path) -> Iterator[FakeMirror]:
    """A mirror below `root`, served until the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    mirror = FakeMirror(root)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(root / "www"))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            mirror.asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
