"""A pipeline's machine has the checkout, with its `pack.lock`, and an empty home: what was shipped is not made anew."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from lent_layers import keep, lend
from typed import ROOT, Terminal

from modelpack.image.config import ROLE
from modelpack.image.oci.layout import Layout

pytestmark = [pytest.mark.slow, pytest.mark.network]
PACKAGES = ("cli", "stacks", "infra", "modelpack")
CHANGED = "modelpack/server/http/asgi.py"


def test_what_was_shipped_is_known_and_taken_from_the_registry(
    shop: Terminal, shared_layers: Path, tmp_path: Path
) -> None:
    first = shop.type("up", "--yes", "--json").json
    assert_known_by_the_ledger(shop, first)
    assert_taken_from_the_image(shop, first)
    assert_only_the_app_is_built(shop, first, shared_layers, tmp_path)


def assert_known_by_the_ledger(shop: Terminal, first: Mapping[str, Any]) -> None:
    """The same inputs: nothing is built, fetched or changed."""
    forget(shop)
    before = shop.counts()["mutating"]
    planned = shop.type("plan", "--json").json
    assert (planned["image"], planned["push_bytes"], planned["changes"]) == (first["image"], 0, [])
    done = shop.type("up", "--yes", "--json").json
    assert (done["outcome"], done["image"]) == ("nothing to do", first["image"])
    assert shop.counts()["mutating"] == before
    assert not (shop.home / "packs").exists()


def assert_taken_from_the_image(shop: Terminal, first: Mapping[str, Any]) -> None:
    """Other inputs of the same verdict: packages are locked again, and the model is that of the image."""
    forget(shop)
    lock = shop.folder / "pack.lock"
    held = json.loads(lock.read_text())
    del held["wheels"]
    lock.write_text(json.dumps(held))
    done = shop.type("up", "--yes", "--json")
    assert "Taking the model from" in done.err
    assert "Preparing data" not in done.err
    assert done.json["image"] == first["image"], "the same packages, and the very same model"
    assert json.loads(lock.read_text())["verdict"] == held["verdict"]


def assert_only_the_app_is_built(
    shop: Terminal, first: Mapping[str, Any], shared_layers: Path, place: Path
) -> None:
    """Another server, no cache, and nobody to fetch a package from: base and wheels are those of the shipped image, and
    what comes out is what a machine that has all packages builds."""
    changed = replace(shop, python=copy_sources(place / "sources"))
    with refusing() as (proxy, asked):
        fresh = replace(changed, variables={**proxy, "ECOMDEPLOY_CACHE": str(place / "cache")})
        empty(shop)
        lock = shop.folder / "pack.lock"
        locked = lock.read_text()
        assert fresh.type("plan", "--json").json["push_bytes"] is None, "another server is another pack"
        done = fresh.type("up", "--yes", "--json")
        assert asked == []
        assert "Taking layers of packages from" in done.err
        assert lock.read_text() == locked
        assert done.json["image"] != first["image"]
        layout = Layout(shop.home / "images")
        before, after = (layers_by_role(layout, one["image"]) for one in (first, done.json))
        assert {role for digest, role in (after.items() - before.items())} == {"app", "files"}
        assert {"base", "wheels", "model"} <= {role for digest, role in (after.items() & before.items())}
        assert_fetches_what_no_lock_pins(fresh, place / "sources", asked)
    empty(shop)
    lend(shared_layers, shop.home / "images")
    again = changed.type("pack", "--json").json
    assert again["image"] == done.json["image"].rpartition("@")[2]
    assert lock.read_text() == locked


def assert_fetches_what_no_lock_pins(fresh: Terminal, sources: Path, asked: list[str]) -> None:
    """With another server again and a lock of before, the one who refuses is asked for packages."""
    lock, server = fresh.folder / "pack.lock", sources / CHANGED
    committed, written = lock.read_text(), server.read_text()
    lock.write_text(json.dumps(without_layers(json.loads(committed))))
    server.write_text(f"{written}# changed again\n")
    empty(fresh)
    fresh.type("up", "--yes", "--json", expect=1)
    assert asked
    lock.write_text(committed)
    server.write_text(written)


def copy_sources(folder: Path) -> str:
    """Our own sources with another server; an interpreter that runs those."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / CHANGED).open("a") as file:
        file.write("# changed\n")
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); sys.argv[:3] = sys.argv[2:3]; "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    interpreter = folder / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}" "$@"\n')
    interpreter.chmod(0o755)
    return str(interpreter)


@contextmanager
def refusing() -> Iterator[tuple[dict[str, str], list[str]]]:
    """What a shell sets so that whatever is fetched from elsewhere is asked of one who refuses, and what was asked."""
    asked: list[str] = []

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(403)

        do_CONNECT = do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    own = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
    try:
        yield (
            {**dict.fromkeys(names, url), **own, "PIP_INDEX_URL": f"{url}/simple", "PIP_FIND_LINKS": ""},
            asked,
        )
    finally:
        server.shutdown()
        server.server_close()


def layers_by_role(layout: Layout, image: str) -> dict[str, str]:
    layers = layout.manifest(image.rpartition("@")[2])["layers"]
    return {one["digest"]: one["annotations"][ROLE].partition(":")[0] for one in layers}


def without_layers(lock: dict[str, Any]) -> dict[str, Any]:
    """A lock as it was before it named layers."""
    for name in ("debs", "wheels"):
        assert lock[name].pop("layers")
    return lock


def empty(shop: Terminal) -> None:
    """All that was made here."""
    for name in ("packs", "locked", "images"):
        shutil.rmtree(shop.home / name, ignore_errors=True)


def forget(shop: Terminal) -> None:
    """What was made here; layers of packages stay, as a pipeline's cache of packages does."""
    for name in ("packs", "locked"):
        shutil.rmtree(shop.home / name, ignore_errors=True)
    images = shop.home / "images"
    keep(images, shop.home / "kept")
    shutil.rmtree(images)
    keep(shop.home / "kept", images)
