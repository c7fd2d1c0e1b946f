"""The example `examples/uploads` as its heading says to set it up: a foreign model from its wheel, and real files."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np

from modelpack.home import Home
from modelpack.progress import Silent
from modelpack.usecases.packages import DataPackage, fetch

MAGIKA = DataPackage(
    name="magika",
    version="1.0.3",
    filename="magika-1.0.3-py3-none-manylinux_2_28_x86_64.whl",
    sha256="3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
    licence="Apache-2.0",
    statement="Google's Magika, a model that tells kinds of files.",
    url="https://pypi.org/project/magika/1.0.3/",
)
ENDINGS = ("csv", "html", "json", "py")
EACH = 15
SMALLEST = 1024


def set_up(example: Path, folder: Path, home: Home) -> None:
    """Model, label names and uploads in a copy of the example."""
    shutil.copytree(example, folder, dirs_exist_ok=True)
    uploads = folder / "data" / "uploads"
    uploads.mkdir(parents=True)
    with zipfile.ZipFile(fetch(MAGIKA, home, Silent())) as wheel:
        for name in ("models/standard_v3_3/model.onnx", "models/standard_v3_3/config.min.json"):
            target = folder if name.endswith(".onnx") else folder / "data"
            (target / Path(name).name).write_bytes(wheel.read(f"magika/{name}"))
    by_ending: dict[str, list[Path]] = {ending: [] for ending in ENDINGS}
    for one in Path(np.__file__).parents[1].rglob("*.*"):
        ending = one.suffix.removeprefix(".")
        if ending in by_ending and one.stat().st_size >= SMALLEST:
            by_ending[ending].append(one)
    for ending, files in by_ending.items():
        found = sorted(files)
        for number, one in enumerate(found[:: max(1, len(found) // EACH)][:EACH]):
            shutil.copyfile(one, uploads / f"{number:02}.{ending}")
