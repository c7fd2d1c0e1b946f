"""An image, built and pushed: ours beside BuildKit's and buildah's of the same Debian packages, wheels, server and a
model of 100 MB.

Packages and wheels lie on disk for everybody, so no figure is a network's. Six scenarios, in which the builders take
their turns: `cold`, from the packages; `cold_with_base`, where a peer finds base image and interpreter in the registry
(ours is cold as before); `unchanged`; `app_changed`, one more line in a file of the server; `model_changed`;
`fresh_app_changed`, an empty store with the image before in the registry, where a builder may look for its layers (ours
with what a committed `pack.lock` says of them).
Each figure is wall and CPU seconds of all processes from the command to the pushed image, and the bytes that the
registry has more than before. At the end every builder's image is pulled, its files compared with what went in, and
its interpreter imports its server.

`python -m benchmarks image` takes some ten minutes the first time, four of them for building BuildKit from the Go
modules that benchmarks/buildkit pins. Needs root, docker-registry, buildah and runc of Debian; a peer that cannot be
had is named with the reason.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from ensurepip import __file__ as ensurepip
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks import _peer_tables as tables
from benchmarks._builders import (
    PATH,
    Buildah,
    Builder,
    BuildKit,
    Job,
    Ours,
    wait_until,
)
from benchmarks._builders import part as part_builders
from benchmarks._page import write_part
from benchmarks._peers import end, free_port
from benchmarks.image_program import PACKAGES, files_below
from cli import wiring
from modelpack.assembly.assemble import NEVER_READ
from modelpack.image.debian.lock import fetch_debs, lock_debs
from modelpack.image.debian.lock import path_of as path_of_deb
from modelpack.image.oci.descriptor import layers_of
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.pull import pull
from modelpack.image.wheels.bytecode import INTERPRETER, LIBRARIES, LOADER
from modelpack.image.wheels.lock import fetch_wheels, lock_wheels
from modelpack.image.wheels.lock import path_of as path_of_wheel
from modelpack.inputs.server_files import server
from modelpack.progress import Silent

ROUNDS = 3
MODEL_BYTES = 100_000_000
OURS, BASE = "ecomdeploy", "base:latest"
REQUIREMENTS = ("onnxruntime", "numpy", "msgspec", "uvicorn", "httptools", "uvloop")
CHANGED = "app/modelpack/server/http/asgi.py"
REGISTRY = """version: 0.1
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: error}}
"""
Taken = dict[str, dict[str, float]]
"""By scenario: wall_s, cpu_s, new_bytes."""


def lacks() -> str:
    """Why it cannot be measured here."""
    return "" if shutil.which("docker-registry", path=PATH) else "apt-get install docker-registry, to push to"


def write_page(figures: Mapping[str, Any]) -> None:
    """Its part of docs/performance.md."""
    write_part("image", [*tables.image(figures)])


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as named, ExitStack() as stack:
        folder = Path(named)
        context = write_context(folder / "context")
        builders, absent = part_builders(
            {
                OURS: Ours(folder / "ours"),
                "BuildKit": BuildKit(folder / "buildkit"),
                "buildah": Buildah(folder / "buildah"),
            }
        )
        for one in builders.values():
            stack.callback(one.end)
        base = push_base(context, folder / "base", builders)
        rounds, sizes = [], {}
        for number in range(ROUNDS):
            with ExitStack() as running:
                own = folder / f"round-{number}"
                registries = {
                    name: running.enter_context(start_registry(own / name, base)) for name in builders
                }
                empty = {
                    name: running.enter_context(start_registry(own / f"{name}-empty")) for name in builders
                }
                rounds.append(take_round(builders, context, registries, empty))
                print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
                if number + 1 == ROUNDS:
                    for name, registry in empty.items():
                        sizes[name] = check_image(f"{registry.host}/shop", context, own / f"{name}-unpacked")
            shutil.rmtree(own)
        return {
            "rounds": ROUNDS,
            "builders": {name: one.version() for name, one in builders.items()},
            "absent": absent,
            "image_bytes": sizes,
            **compare(rounds),
        }


def take_round(
    builders: Mapping[str, Builder],
    context: Path,
    registries: Mapping[str, Registry],
    empty: Mapping[str, Registry],
    model_bytes: int = MODEL_BYTES,
) -> dict[str, Taken]:
    """Every scenario once, the builders taking turns in each, each with a registry of its own; an empty one for
    `cold`, so that all bytes of an image are told."""
    taken: dict[str, Taken] = {name: {} for name in builders}

    def build(scenario: str, forget: bool = False) -> None:
        for name, one in builders.items():
            if forget:
                one.forget()
            registry = (empty if scenario == "cold" else registries)[name]
            job = Job(
                context,
                f"{registry.host}/shop:latest",
                "" if scenario == "cold" else f"{registry.host}/{BASE}",
                cached=scenario == "fresh_app_changed",
            )
            before, began = registry.size(), time.monotonic()
            cpu = one.build(job)
            wall = time.monotonic() - began
            taken[name][scenario] = {"wall_s": wall, "cpu_s": cpu, "new_bytes": registry.size() - before}

    build("cold_with_base", forget=True)
    build("unchanged")
    change_app(context)
    build("app_changed")
    write_model(context, model_bytes)
    build("model_changed")
    change_app(context)
    build("fresh_app_changed", forget=True)
    build("cold", forget=True)
    return taken


# ---- what it is made of ----


def write_context(context: Path) -> Path:
    """All that the image is made of, as files: what is locked for today, and fetched."""
    downloads = wiring.home().cache / "downloads"
    debs = fetch_debs(lock_debs(downloads, Silent()), downloads, Silent())
    wheels = lock_wheels(REQUIREMENTS)
    fetch_wheels(wheels, downloads, Silent())
    for path in [path_of_deb(one, downloads) for one in debs]:
        copy(path, context / "debs" / path.name)
    for path in [path_of_wheel(one, downloads) for one in wheels]:
        copy(path, context / "wheels" / path.name)
    [pip] = (Path(ensurepip).parent / "_bundled").glob("pip-*.whl")
    copy(pip, context / "wheels" / "pip.whl")
    listed = "".join(f"/wheels/{one.filename}\n" for one in wheels)
    (context / "wheels" / "requirements.txt").write_text(listed)
    packages = {
        "debs": [asdict(one) for one in debs],
        "wheels": [asdict(one) for one in wheels],
        "left_out": NEVER_READ,
    }
    (context / PACKAGES).write_text(json.dumps(packages))
    for name, source in server().items():
        copy(source, context / "app" / name)
    write_model(context)
    return context


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write_model(context: Path, size: int = MODEL_BYTES) -> None:
    """Weights that were never there before."""
    (context / "model").mkdir(exist_ok=True)
    random = np.random.default_rng()
    with (context / "model" / "model.onnx").open("wb") as file:
        for begun in range(0, size, MODEL_BYTES):
            weights = random.normal(size=min(MODEL_BYTES, size - begun) // 4)
            weights.astype(np.float32).tofile(file)
    (context / "model" / "serving.json").write_text("{}")


def change_app(context: Path) -> None:
    """One more line in a file of the server."""
    with (context / CHANGED).open("a") as file:
        file.write(f"# changed at {time.time_ns()}\n")


# ---- the registry ----


@dataclass(frozen=True)
class Registry:
    """A registry of Debian's docker-registry: where it answers, and where its files lie."""

    host: str
    folder: Path

    def size(self) -> int:
        """Bytes of all blobs and manifests."""
        return sum(one.stat().st_size for one in self.folder.glob("docker/registry/v2/blobs/*/*/*/data"))


def push_base(context: Path, folder: Path, builders: Mapping[str, Builder]) -> Path:
    """A registry's folder with the peers' base image, made of the same Debian packages; empty where no peer is."""
    peers = [one for name, one in builders.items() if name != OURS]
    if peers:
        peers[0].forget()
        with start_registry(folder) as registry:
            peers[0].build(Job(context, f"{registry.host}/{BASE}", later=""))
    return folder


@contextmanager
def start_registry(folder: Path, filled: Path | None = None) -> Iterator[Registry]:
    """Debian's docker-registry on loopback, its files below `folder`; those of another one to begin with."""
    port = free_port()
    if filled is not None and filled.exists():
        shutil.copytree(filled, folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "settings.yml"
    settings.write_text(REGISTRY.format(root=folder, port=port))
    program = str(shutil.which("docker-registry", path=PATH))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(settings)], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/v2/"), lambda: (folder / "log").read_text())
        yield Registry(f"127.0.0.1:{port}", folder)
    finally:
        end(process)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def check_image(name: str, context: Path, folder: Path) -> int:
    """The bytes of a pull. Raises RuntimeError where the image lacks what went in, or does not import its server."""
    host, _, repository = name.partition("/")
    layout = Layout(folder / "layout")
    with RegistryClient(f"http://{host}", repository) as registry:
        digest = pull(registry, layout, "latest", Silent())
    root = unpack(layout, digest, folder / "root")
    for room in ("app", "model"):
        for path, source in files_below(context / room).items():
            found = root / "opt/ecomdeploy" / room / path
            if not found.is_file() or found.read_bytes() != source.read_bytes():
                raise RuntimeError(f"{name}: {room}/{path} is not what went in")
    words = [root / LOADER, "--library-path", root / LIBRARIES, root / INTERPRETER, "-S", "-c"]
    held = root / "opt/ecomdeploy"
    variables = {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": f"{held / 'app'}:{held / 'deps'}"}
    program = "import numpy, onnxruntime, modelpack.server.main"
    done = subprocess.run(
        [*map(str, words), program], env=variables, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name}: its server is not importable: {done.stderr[-500:]}")
    return sum(one.size for one in layers_of(layout.manifest(digest)))


# ---- figures ----


def compare(rounds: Sequence[Mapping[str, Taken]]) -> dict[str, Any]:
    """Medians by scenario and builder, and ours over the quickest peer of each round."""
    return {
        "scenarios": {
            scenario: {
                **{name: medians([taken[name][scenario] for taken in rounds]) for name in rounds[0]},
                "of_best_peer": ratio(rounds, scenario),
            }
            for scenario in rounds[0][OURS]
        }
    }


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    walls = [run["wall_s"] for run in runs]
    return {
        **{name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]},
        "wall_range_s": [round(min(walls), 3), round(max(walls), 3)],
    }


def ratio(rounds: Sequence[Mapping[str, Taken]], scenario: str) -> dict[str, Any] | None:
    """Wall seconds; None where there is no peer."""
    found = [
        taken[OURS][scenario]["wall_s"] / min(others)
        for taken in rounds
        if (others := [one[scenario]["wall_s"] for name, one in taken.items() if name != OURS])
    ]
    if not found:
        return None
    return {
        "median": round(statistics.median(found), 3),
        "range": [round(min(found), 3), round(max(found), 3)],
    }
