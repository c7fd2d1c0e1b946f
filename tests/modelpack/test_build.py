"""The whole way from a request to a pack, with a user's own tiny use case: same bytes twice, remembered, re-gated."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import platformdirs
import pytest
from lent_layers import lend
from tiny_registry import serving

from modelpack import pack as packs
from modelpack.build import PackRequest, build, find_known
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import Home
from modelpack.image.oci.attachments import attachments
from modelpack.image.oci.layout import Layout
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.pull import pull, pull_model
from modelpack.image.registry.push import push
from modelpack.inputs import lock as locks
from modelpack.inputs.resolve import resolve
from modelpack.inputs.spec import GateSpec, ModelSpec, PackSpec
from modelpack.pack import RECORD, SAMPLES, Pack
from modelpack.progress import Progress, Silent

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, repository: Path, shared_layers: Path) -> Path:
    """A project with its own use case, and a home whose downloads are the machine's."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(repository / "tests" / "support" / "tiny_usecase.py", folder / "own.py")
    lend(shared_layers, home(folder).images)
    return folder


def home(root: Path) -> Home:
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    (root / "cache").mkdir(parents=True, exist_ok=True)
    cache.joinpath("downloads").mkdir(parents=True, exist_ok=True)
    if not (root / "cache" / "downloads").exists():
        (root / "cache" / "downloads").symlink_to(cache / "downloads")
    return Home(root / "home", root / "cache")


def asked(project: Path, **changes: object) -> PackRequest:
    plain = PackRequest("./own.py:Tiny", ModelSpec(), PackSpec(), "ml.c7i.xlarge", project)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def first(place: Path) -> Pack:
    return build(asked(place), home(place), Silent())


def test_the_pack_is_remembered_and_whole(place: Path, first: Pack) -> None:
    assert find_known(asked(place), home(place)) == first
    dearer = find_known(asked(place, usd_hour=0.36), home(place))
    assert dearer is not None
    assert dearer.digest == first.digest
    assert dearer.record["chosen"]["usd_per_million"] > 0
    assert first.record["chosen"]["usd_per_million"] is None
    assert packs.load(home(place), first.input_digest) == first
    assert Layout(home(place).images).complete(first.digest)
    assert first.platform == "linux/amd64"


def test_the_record_says_what_was_measured(place: Path, first: Pack) -> None:
    (record,) = attachments(Layout(home(place).images), first.digest, RECORD)
    assert json.loads(record) == first.record
    assert first.record["metric"]["name"] == "accuracy"
    assert first.record["metric"]["value"] > 0.99
    for figures in (first.record["reference"], first.record["chosen"], *first.record["passes"]):
        assert {"metric", "p50_ms", "p99_ms", "rows_per_cpu_s", "size_mb", "hardware"} <= set(figures)
    (samples,) = attachments(Layout(home(place).images), first.digest, SAMPLES)
    assert json.loads(samples)["names"] == {"10": "ten"}


def test_another_home_and_path_with_the_same_lock_gives_the_same_image(
    place: Path, first: Pack, tmp_path: Path
) -> None:
    other = tmp_path / "some" / "other" / "place"
    other.mkdir(parents=True)
    for name in ("own.py", locks.NAME):
        shutil.copy(place / name, other / name)
    progress = Silent()
    again = build(asked(other), home(other), progress)
    assert (again.digest, again.content_digest, again.input_digest) == (
        first.digest,
        first.content_digest,
        first.input_digest,
    )
    assert again.record == first.record
    assert "Optimizing by the verdict of an earlier measurement" in progress.lines
    assert measured(progress) == []


@dataclass
class PushedImage:
    """A registry that the first image was pushed to, asked as a machine with an empty home asks it."""

    registry: RegistryClient
    digest: str
    inputs: str
    asked: list[str] = field(default_factory=list)

    def find(self, input_digest: str) -> None:
        return None

    def bring(self, inputs: str, layout: Layout, progress: Progress) -> str | None:
        self.asked.append(inputs)
        if inputs != self.inputs:
            return None
        pull_model(self.registry, layout, self.digest, progress)
        return self.digest

    def bring_layers(self, digests: Collection[str], layout: Layout, progress: Progress) -> None:
        pull(self.registry, layout, self.digest, progress, lambda layer: layer.digest in digests)


@pytest.fixture
def shipped(place: Path, first: Pack) -> Iterator[PushedImage]:
    with serving() as fake, RegistryClient(fake.url, "shop") as registry:
        push(registry, Layout(home(place).images), first.digest, "one", Silent())
        yield PushedImage(registry, first.digest, str(first.record["provenance"]["inputs"]))


@pytest.fixture
def fresh(place: Path, first: Pack, tmp_path: Path, shared_layers: Path) -> Path:
    """A checkout on a machine that has never packed: the project with its lock, an empty home."""
    for name in ("own.py", locks.NAME):
        shutil.copy(place / name, tmp_path / name)
    lend(shared_layers, home(tmp_path).images)
    return tmp_path


def test_a_model_that_the_lock_names_comes_from_an_image_that_was_shipped(
    first: Pack, shipped: PushedImage, fresh: Path
) -> None:
    progress, before = Silent(), (fresh / locks.NAME).read_bytes()
    again = build(asked(fresh), home(fresh), progress, shipped)
    assert (again.digest, again.content_digest, again.golden) == (
        first.digest,
        first.content_digest,
        first.golden,
    )
    said = {**again.record, "golden": first.record["golden"]}
    assert said == first.record
    assert again.record["golden"].startswith(f"those of the image {first.digest}, of the same model")
    assert not {"Preparing data", "training"} & set(progress.lines)
    assert not list(home(fresh).models.glob("*.safetensors"))
    assert (fresh / locks.NAME).read_bytes() == before
    (samples,) = attachments(Layout(home(fresh).images), again.digest, SAMPLES)
    assert json.loads(samples)["names"] == {"10": "ten"}


@pytest.mark.parametrize("part", ["files", "beside", "by"])
def test_what_is_not_what_the_lock_names_is_made_anew(
    first: Pack, shipped: PushedImage, fresh: Path, part: str
) -> None:
    lock = locks.read(fresh)
    inputs = resolve(asked(fresh)).verdict_digest
    verdict = dict(lock.get("verdict", inputs) or {})
    other = {
        "files": dict.fromkeys(verdict["made"]["files"], "0" * 64),
        "beside": "sha256:0",
        "by": "sha256:0",
    }
    verdict["made"] = {**verdict["made"], part: other[part]}
    locks.write(fresh, lock.having("verdict", inputs, verdict))
    progress = Silent()
    again = build(asked(fresh), home(fresh), progress, shipped)
    assert again.digest == first.digest
    assert "Preparing data" in progress.lines
    told = any("has another model than pack.lock names" in line for line in progress.lines)
    assert told == (part != "by"), "what other code made is not even asked for"
    assert shipped.asked == ([] if part == "by" else [inputs])
    left = (locks.read(fresh).get("verdict", inputs) or {})["made"][part] == other[part]
    assert left == (part != "by"), "what was committed counts, unless other code made it"


def test_a_spec_changed_and_changed_back_gives_the_first_image_and_measures_nothing(
    place: Path, first: Pack, tmp_path: Path
) -> None:
    shutil.copy(place / "own.py", tmp_path / "own.py")
    where, here = home(place), tmp_path
    changed, back, afresh = Silent(), Silent(), Silent()
    before = build(asked(here), where, Silent())
    other = build(asked(here, pack=PackSpec(gate=GateSpec(metric_drop=0.1))), where, changed)
    assert other.input_digest != before.input_digest
    assert measured(changed)
    assert find_known(asked(here), where) == before
    assert build(asked(here), where, back) == before
    assert locks.read(here).get("verdict", resolve(asked(here)).verdict_digest)
    packs.path_of(where, before.input_digest).unlink()
    again = build(asked(here), where, afresh)
    assert (again.digest, again.record) == (before.digest, before.record)
    assert measured(back) == measured(afresh) == []
    assert "Optimizing by the verdict of an earlier measurement" in afresh.lines


def measured(progress: Silent) -> list[str]:
    """The measurements that it was told of."""
    return [line for line in progress.lines if line.startswith("measuring")]


def test_regating_measures_again(place: Path, first: Pack) -> None:
    progress = Silent()
    assert find_known(asked(place, regate=True), home(place)) is None
    build(asked(place, regate=True), home(place), progress)
    assert measured(progress)


def test_what_a_search_found_is_kept_in_the_lock_and_not_searched_again(
    place: Path, first: Pack, tmp_path: Path
) -> None:
    shutil.copy(place / "own.py", tmp_path / "own.py")
    wanted = asked(tmp_path, pack=PackSpec(passes=("auto",), budget=30, objective="size"))
    found = build(wanted, home(place), Silent())
    search = found.record["search"]
    chosen = search["points"][search["chosen"]]
    assert chosen["size_mb"] == min(one["size_mb"] for one in search["points"] if one["allowed"])
    assert search["chosen"] in search["front"]
    progress = Silent()
    packs.path_of(home(place), found.input_digest).unlink()
    again = build(wanted, home(place), progress)
    assert (again.digest, again.record) == (found.digest, found.record)
    assert measured(progress) == []


def test_a_damaged_image_is_not_known(place: Path, first: Pack, tmp_path: Path) -> None:
    where = home(tmp_path)
    shutil.copytree(home(place).root, where.root)
    whole = find_known(asked(place), where)
    # not `first`: another test measured the passes anew, and a verdict may have turned
    assert whole is not None
    Layout(where.images).path(whole.digest).unlink()
    assert find_known(asked(place), where) is None


def test_a_model_given_is_packed_without_training(place: Path, first: Pack, tmp_path: Path) -> None:
    where = home(place)
    (trained,) = where.models.glob("*.safetensors")
    shutil.copy(trained, place / "mine.safetensors")
    progress = Silent()
    given = build(asked(place, model=ModelSpec(path="mine.safetensors")), where, progress)
    assert given.record["provenance"]["model_from"] == "mine.safetensors"
    assert "training" not in progress.lines
    assert given.content_digest != ""
    assert given.digest.startswith("sha256:")


def test_limits_and_damage_are_said_and_leave_nothing_half_done(
    place: Path, first: Pack, tmp_path: Path
) -> None:
    before = hashlib.sha256((place / locks.NAME).read_bytes()).hexdigest()
    strict = PackSpec(gate=GateSpec(size_mb=0.001))
    with pytest.raises(EcomdeployError, match="size_mb"):
        build(asked(place, pack=strict), home(place), Silent())
    (place / "broken.safetensors").write_bytes(b"not a model at all")
    with pytest.raises(BadInput, match="damaged or not a safetensors"):
        build(asked(place, model=ModelSpec(path="broken.safetensors")), home(place), Silent())
    assert hashlib.sha256((place / locks.NAME).read_bytes()).hexdigest() == before
    assert not list(home(place).models.glob(".variants-*"))
