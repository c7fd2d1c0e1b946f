"""What of the image benchmark runs without others' builders: its turns, its figures, and what ours sends, counted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import tiny_parts
from tiny_registry import serving

from benchmarks import image, image_program
from benchmarks._builders import LATER, Job, part, write_dockerfile
from benchmarks.image import OURS, Registry


@dataclass
class Puppet:
    """A builder that says what it is asked."""

    name: str
    said: list[str]
    absent: str = ""
    jobs: list[Job] = field(default_factory=list)

    def lacks(self) -> str:
        return self.absent

    def version(self) -> str:
        return "1"

    def forget(self) -> None:
        self.said.append(f"{self.name} forgets")

    def build(self, job: Job) -> float:
        self.said.append(f"{self.name} builds")
        self.jobs.append(job)
        return 0.5

    def end(self) -> None:
        self.said.append(f"{self.name} ends")


def make_context(folder: Path) -> Path:
    (folder / "app/modelpack/server/http").mkdir(parents=True)
    (folder / image.CHANGED).write_text("pass\n")
    return folder


def test_builders_take_turns_in_each_scenario(tmp_path: Path) -> None:
    said: list[str] = []
    builders = {OURS: Puppet("ours", said), "peer": Puppet("peer", said)}
    registries = {name: Registry(f"{name}.example", tmp_path / name) for name in builders}
    empty = {name: Registry(f"{name}.empty", tmp_path / name) for name in builders}
    taken = image.take_round(builders, make_context(tmp_path), registries, empty, model_bytes=40)
    assert list(taken[OURS]) == list(taken["peer"])
    assert len(taken[OURS]) == 6
    assert [word for word in said if "builds" in word] == ["ours builds", "peer builds"] * 6
    assert said.count("peer forgets") == 3
    jobs = dict(zip(taken["peer"], builders["peer"].jobs, strict=True))
    assert [name for name, job in jobs.items() if not job.base] == ["cold"]
    assert [name for name, job in jobs.items() if job.cached] == ["fresh_app_changed"]
    assert jobs["cold"].reference.startswith("peer.empty/")
    assert (tmp_path / image.CHANGED).read_text().count("# changed") == 2


def test_what_nothing_changed_in_is_not_sent_and_a_changed_app_is_three_blobs(tmp_path: Path) -> None:
    """The app's layer, the list of its files, and the image's config."""
    parts = tiny_parts.parts(tmp_path)
    changed = replace(parts, app={**parts.app, "modelpack/__init__.py": b"# changed\n"})
    with serving() as fake:
        reference = f"{fake.url.removeprefix('http://')}/shop:latest"
        first, *later = (
            image_program.build(each, tmp_path / "place", reference, tmp_path / "pins")
            for each in (parts, parts, changed)
        )
        assert [one.blobs_sent for one in later] == [0, 3]
        assert later[0].bytes_sent == 0
        assert first.blobs_sent > 3
        again = replace(parts, app={"modelpack/__init__.py": b"# changed again\n"})
        shutil.rmtree(parts.downloads)
        fresh = image_program.build(again, tmp_path / "other", reference, tmp_path / "pins", shipped=True)
        assert fresh.blobs_sent == 3, "no package is there: its layers are the registry's"


def test_who_cannot_be_had_is_named_with_the_reason() -> None:
    there, gone = Puppet("there", []), Puppet("gone", [], absent="apt-get install gone")
    assert part({"there": there, "gone": gone}) == ({"there": there}, {"gone": "apt-get install gone"})


def test_a_peer_begins_with_its_base_or_with_the_packages(tmp_path: Path) -> None:
    based = write_dockerfile(Job(tmp_path, "h/shop:latest", base="h/base:latest"), tmp_path).read_text()
    assert based == f"FROM h/base:latest\n{LATER}"
    alone = write_dockerfile(Job(tmp_path, "h/base:latest", later=""), tmp_path).read_text()
    assert alone == "FROM scratch\nCOPY rootfs /\n"


def test_ratios_are_those_of_the_rounds_to_the_quickest_peer() -> None:
    def taken(seconds: float) -> image.Taken:
        return {"cold": {"wall_s": seconds, "cpu_s": 1.0, "new_bytes": 10}}

    rounds = [
        {OURS: taken(1), "slow": taken(8), "quick": taken(4)},
        {OURS: taken(2), "slow": taken(4), "quick": taken(5)},
        {OURS: taken(3), "slow": taken(9), "quick": taken(3)},
    ]
    found = image.compare(rounds)["scenarios"]["cold"]
    assert found["of_best_peer"] == {"median": 0.5, "range": [0.25, 1.0]}
    assert found[OURS]["wall_s"] == 2
    assert found["slow"]["wall_range_s"] == [4, 9]
    assert image.compare([{OURS: taken(1)}])["scenarios"]["cold"]["of_best_peer"] is None
