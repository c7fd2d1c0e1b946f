"""The real thing: Debian base, real wheels, the real model server, a small real model. Needs a mirror and PyPI."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile

import model_server
import platformdirs
import pytest

from modelpack.assembly.assemble import NEVER_READ
from modelpack.errors import EcomdeployError
from modelpack.image.debian.lock import fetch_debs, lock_debs
from modelpack.image.parts import ImageParts
from modelpack.image.wheels.lock import fetch_wheels, lock_wheels
from modelpack.inputs.server_files import server
from modelpack.progress import Silent

REQUIREMENTS = ("onnxruntime", "numpy", "msgspec", "uvicorn", "httptools", "uvloop")


def downloads() -> pathlib.Path:
    """The shared download cache."""
    named = os.environ.get("ECOMDEPLOY_CACHE")
    return (pathlib.Path(named) if named else platformdirs.user_cache_path("ecomdeploy")) / "downloads"


def parts(folder: pathlib.Path) -> ImageParts:
    """Locked and fetched. Skips the test where mirror or index cannot be reached."""
    place = downloads()
    try:
        debs = fetch_debs(lock_debs(place, Silent()), place, Silent())
        wheels = lock_wheels(REQUIREMENTS)
        fetch_wheels(wheels, place, Silent())
    except EcomdeployError as problem:
        if "cannot fetch" in str(problem) or "cannot resolve" in str(problem):
            pytest.skip(str(problem))
        raise
    model = folder / "model.onnx"
    model.parent.mkdir(parents=True, exist_ok=True)
    model_server.write_model(model)
    serving = json.dumps(model_server.serving()).encode()
    files: dict[str, pathlib.Path | bytes] = {"model.onnx": model, "serving.json": serving}
    return ImageParts(debs, wheels, server(), files, place, left_out=NEVER_READ)


def elsewhere(given: ImageParts, folder: pathlib.Path) -> ImageParts:
    """The same parts at another place: files copied, downloads linked."""
    place = pathlib.Path(tempfile.mkdtemp(dir=folder))
    (place / "downloads").symlink_to(given.downloads)
    moved = {}
    for name, source in given.app.items():
        assert isinstance(source, pathlib.Path)
        target = place / name.replace("/", "-")
        target.write_bytes(source.read_bytes())
        moved[name] = target
    return dataclasses.replace(given, app=moved, downloads=place / "downloads")
