"""Layers of packages that a lock pins: known by their bytes as if built here, and never for other inputs."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace

import pytest
import tiny_parts

from modelpack.assembly.assemble import (
    complete_lock,
    list_unmade,
    parts_of,
    pin_built,
    read_pins,
    take_pinned,
)
from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.variant import ONNX
from modelpack.home import Home
from modelpack.image import layers as plans
from modelpack.image.assemble import assemble
from modelpack.image.layer import make, recall
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import Built, ImageParts
from modelpack.image.pinned import LayerPin, pin_layers, read_interpreter, read_pin, take_layer
from modelpack.inputs.environment import ServingEnvironment
from modelpack.inputs.lock import LAYERS, Lock
from modelpack.inputs.resolve import Inputs, PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.progress import Progress, Silent


@dataclass
class Shipped:
    """Images that lie in another layout, and what was asked of them."""

    there: Layout
    asked: list[str] = field(default_factory=list)

    def find(self, input_digest: str) -> object | None:
        return None

    def bring(self, inputs: str, layout: Layout, progress: Progress) -> str | None:
        return None

    def bring_layers(self, digests: Collection[str], layout: Layout, progress: Progress) -> None:
        for digest in digests:
            self.asked.append(digest)
            if self.there.has(digest):
                layout.put(self.there.read(digest))


@pytest.fixture
def parts(tmp_path: pathlib.Path) -> ImageParts:
    return tiny_parts.parts(tmp_path)


def copy_pinned(parts: ImageParts, there: Layout, here: Layout) -> Built:
    """An image built there, the layers of its packages known here by their pins."""
    built = assemble(parts, there, Silent())
    pins = pin_layers(built.layers, "base") | pin_layers(built.layers, "wheels")
    for plan in plans.of_packages(parts, None):
        pin = read_pin(pins[plan.key()])
        here.put(there.read(pin.digest))
        take_layer(plan, pin, here)
    return built


def test_what_is_taken_is_known_as_if_it_was_built(parts: ImageParts, tmp_path: pathlib.Path) -> None:
    there, here = Layout(tmp_path / "there"), Layout(tmp_path / "here")
    built = copy_pinned(parts, there, here)
    for plan in plans.of_packages(parts, None):
        one, other = recall(plan, there), recall(plan, here)
        assert one is not None
        assert one == other
        assert one.facts.files
    shutil.rmtree(parts.downloads)
    # wheels whose sizes a lock tells are put into layers without being there
    assert assemble(parts, here, Silent()).digest == built.digest


def test_a_layer_of_other_bytes_is_not_taken(parts: ImageParts, tmp_path: pathlib.Path) -> None:
    there, here = Layout(tmp_path / "there"), Layout(tmp_path / "here")
    built = assemble(parts, there, Silent())
    base, other = (next(one for one in built.layers if one.role == role) for role in ("base", "app"))
    plan = plans.of_packages(parts, None)[0]
    here.put(there.read(other.digest))
    for pin in (
        LayerPin(other.digest, base.diff_id, other.size),
        LayerPin(base.digest, base.diff_id, base.size),
    ):
        with pytest.raises(EcomdeployError, match=r"is not the one|is missing"):
            take_layer(plan, pin, here)
    assert recall(plan, here) is None


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"digest": "sha256:1", "diff_id": "sha256:" + "0" * 64, "size": 1},
        {"digest": "sha256:" + "0" * 64, "diff_id": "../../x", "size": 1},
        {"digest": "sha256:" + "0" * 64, "diff_id": "sha256:" + "0" * 64, "size": "1"},
        {"digest": "sha256:" + "0" * 64, "diff_id": "sha256:" + "0" * 64, "size": -1},
    ],
)
def test_a_pin_has_its_form(data: object) -> None:
    with pytest.raises(EcomdeployError):
        read_pin(data)


def test_the_interpreter_of_a_taken_base_is_that_of_its_packages(
    parts: ImageParts, tmp_path: pathlib.Path
) -> None:
    layout = Layout(tmp_path / "layout")
    layer = make(plans.of_packages(parts, None)[0], layout)
    found = {entry.path: entry for entry in read_interpreter(layer, layout)}
    assert found["usr/bin/python3"].target == "python3.11"
    assert found["usr/bin/python3.11"].mode == 0o755
    with found["usr/lib/python3.11/tiny.py"].open() as file:
        assert file.read() == b"tiny = 1\n"
    assert found["lib"].target == "usr/lib"
    assert not [path for path in found if path.startswith(("etc/", "var/", "usr/share/"))]


@dataclass(frozen=True)
class Locked:
    """A machine with nothing but a lock, and what was built of the lock's packages elsewhere."""

    inputs: Inputs
    served: ServingEnvironment
    lock: Lock
    home: Home
    shipped: Shipped
    progress: Silent

    def complete(self) -> Lock:
        return complete_lock(self.inputs, self.served, self.lock, self.home, self.progress, self.shipped)


@pytest.fixture
def locked(parts: ImageParts, tmp_path: pathlib.Path) -> Locked:
    """The layers are those of packages without bytecode, which a made-up interpreter does not write; no key is of
    them, only of what the lock names."""
    inputs = resolve(PackRequest("recommendation", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path))
    served = inputs.find_environment(ONNX)
    packages = {"debs": parts.base, "wheels": parts.wheels}
    holds_for = {"debs": served.debs_digest, "wheels": served.wheels_digest}
    lock = Lock()
    for name, each in packages.items():
        assert isinstance(each, tuple)
        lock = lock.having(name, holds_for[name], {"packages": [asdict(one) for one in each]})
    home, there = Home(tmp_path / "home", tmp_path / "cache"), Layout(tmp_path / "there")
    built = assemble(parts, there, Silent())
    keys = [plan.key() for plan in list_unmade(parts_of(inputs, served, lock, home), Layout(home.images))]
    roles = [layer for layer in built.layers if layer.role in ("base", "wheels")]
    layers = tuple(replace(layer, key=key) for layer, key in zip(roles, keys, strict=True))
    lock = pin_built(served, lock, replace(built, layers=layers))
    return Locked(inputs, served, lock, home, Shipped(there), Silent())


def test_what_a_lock_pins_is_neither_fetched_nor_built(locked: Locked) -> None:
    assert locked.complete() == locked.lock
    assert len(locked.shipped.asked) == 2
    assert not locked.home.downloads.exists()
    layout = Layout(locked.home.images)
    assert list_unmade(parts_of(locked.inputs, locked.served, locked.lock, locked.home), layout) == []
    assert not [line for line in locked.progress.lines if "anew" in line]
    # known from now on: nobody is asked again
    locked.complete()
    assert len(locked.shipped.asked) == 2


def test_packages_that_the_layers_are_not_made_of_are_built_and_that_is_said(locked: Locked) -> None:
    """Another small package: the base is what it was, the layer of the wheels is another."""
    content = locked.lock.get("wheels", locked.served.wheels_digest)
    assert content is not None
    [wheel] = content["packages"]
    other = {**content, "packages": [{**wheel, "sha256": "0" * 64}]}
    lock = locked.lock.having("wheels", locked.served.wheels_digest, other)
    layout = Layout(locked.home.images)
    parts = parts_of(locked.inputs, locked.served, lock, locked.home)
    unmade = list_unmade(parts, layout)
    left = take_pinned(unmade, read_pins(locked.served, lock), locked.shipped, layout, locked.progress)
    assert [plan.role for plan in left] == ["wheels"]
    assert [line for line in locked.progress.lines if "built anew: 1; pack.lock names others" in line]


def test_layers_that_no_image_has_or_has_otherwise_are_built_and_that_is_said(
    locked: Locked, tmp_path: pathlib.Path
) -> None:
    layout = Layout(locked.home.images)
    parts = parts_of(locked.inputs, locked.served, locked.lock, locked.home)
    unmade = list_unmade(parts, layout)
    nobody = Shipped(Layout(tmp_path / "empty"))
    pins = read_pins(locked.served, locked.lock)
    assert take_pinned(unmade, pins, nobody, layout, locked.progress) == unmade
    assert [line for line in locked.progress.lines if "built anew: 2; no shipped image has" in line]
    base = unmade[0].key()
    wrong = {**pins, base: replace(pins[base], diff_id="sha256:" + "0" * 64)}
    left = take_pinned(unmade, wrong, locked.shipped, layout, locked.progress)
    assert [plan.role for plan in left] == ["base"]
    assert any("the layer is built anew" in line for line in locked.progress.lines)


def test_a_damaged_pin_is_bad_input(locked: Locked) -> None:
    content = locked.lock.get("debs", locked.served.debs_digest)
    damaged: tuple[object, ...] = ([], "x", {"key": "x"})
    for layers in damaged:
        lock = locked.lock.having("debs", locked.served.debs_digest, {**(content or {}), LAYERS: layers})
        with pytest.raises(BadInput, match=r"its layers are damaged"):
            replace(locked, lock=lock).complete()


def test_a_pack_has_the_same_name_with_and_without_the_layers_of_its_packages(locked: Locked) -> None:
    verdict = {"kept": [], "format": ONNX}
    with_layers = locked.lock.having("verdict", locked.inputs.verdict_digest, verdict)
    without = with_layers
    for name, holds_for in (("debs", locked.served.debs_digest), ("wheels", locked.served.wheels_digest)):
        content = without.get(name, holds_for)
        assert content is not None
        without = without.having(name, holds_for, {"packages": content["packages"]})
    assert locked.inputs.pack_digest(with_layers) == locked.inputs.pack_digest(without) is not None
