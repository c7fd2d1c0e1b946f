"""The Gateway API's own resource definitions, from its Go module: fetched once, checked, kept as JSON in the cache.

Its module is what the project releases; a Go module's checksum is https://go.dev/ref/mod#go-sum-files, and a proxy's
answers are https://go.dev/ref/mod#goproxy-protocol
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput, EcomdeployError
from modelpack.progress import Progress

MODULE = "sigs.k8s.io/gateway-api"
VERSION = "v1.5.1"
CHECKSUM = "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0="
"""As sum.golang.org has it."""
KINDS = ("gatewayclasses", "gateways", "httproutes", "referencegrants")
"""Those of the standard channel that something here reads or writes: each kind costs the API server memory."""
PROXY = "https://proxy.golang.org"
SECONDS = 60.0


def folder_of(cache: Path) -> Path:
    """The folder of `<kind>.json`."""
    return cache / "kubernetes" / f"gateway-api-{VERSION}"


def ensure(cache: Path, progress: Progress, variables: Mapping[str, str] = os.environ) -> Path:
    """The folder, filled first if it is not there.

    Raises:
        EcomdeployError: no proxy of `GOPROXY` gave the module, or what came is not it.
    """
    folder = folder_of(cache)
    if folder.is_dir():
        return folder
    progress.note(f"Fetching the Gateway API's resource definitions ({MODULE} {VERSION})")
    module = _fetch(_proxies(variables.get("GOPROXY", "")))
    with zipfile.ZipFile(io.BytesIO(module)) as archive:
        if (found := checksum(archive)) != CHECKSUM:
            raise EcomdeployError(f"{MODULE} {VERSION} has the checksum {found}, not {CHECKSUM}")
        read = {kind: _read(archive, kind) for kind in KINDS}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        made = Path(fresh) / "made"
        made.mkdir()
        for kind, definition in read.items():
            (made / f"{kind}.json").write_text(json.dumps(definition))
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise
    return folder


def load(folder: Path) -> list[dict[str, Any]]:
    """The definitions that `ensure` kept."""
    return [json.loads((folder / f"{kind}.json").read_text()) for kind in KINDS]


def checksum(archive: zipfile.ZipFile) -> str:
    """Go's "h1" of a module: a sha256 over the sorted lines of sha256 and name of its files."""
    names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    lines = "".join(f"{hashlib.sha256(archive.read(name)).hexdigest()}  {name}\n" for name in names)
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


def _proxies(said: str) -> list[str]:
    """Those of `GOPROXY` that can be asked by HTTP: "direct" and "off" cannot."""
    listed = [one.strip().rstrip("/") for one in said.replace("|", ",").split(",")]
    return [one for one in listed if one.startswith(("https://", "http://"))] or [PROXY]


def _fetch(proxies: list[str]) -> bytes:
    import httpx

    problems = []
    for proxy in proxies:
        try:
            answer = httpx.get(f"{proxy}/{MODULE}/@v/{VERSION}.zip", timeout=SECONDS, follow_redirects=True)
            answer.raise_for_status()
            return answer.content
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problems.append(f"{proxy}: {error}")
    raise BadInput(
        f"{MODULE} {VERSION} cannot be fetched: {'; '.join(problems)}",
        hint="connect once, or name a Go module proxy in GOPROXY: ecomdeploy cloud kubernetes install",
    )


def _read(archive: zipfile.ZipFile, kind: str) -> Any:
    from ruamel.yaml import YAML

    name = f"{MODULE}@{VERSION}/config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
    return YAML(typ="safe", pure=False).load(archive.read(name))
