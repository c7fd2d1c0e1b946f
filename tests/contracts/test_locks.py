"""What make and CI install is locked by version and sha256, and is what pyproject.toml and the Makefile ask for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
MAIN = ("dev.txt", "torch.txt")
MAKEFILE = (ROOT / "Makefile").read_text()
(SAGEMAKER,) = re.findall(r"^SAGEMAKER := (.*)", MAKEFILE, re.MULTILINE)
KERAS = [one for extra in ("tensorflow", "huggingface", "originals") for one in EXTRAS[extra]]
HINT = "make lock"


def asked(words: list[str], *files: str) -> list[object]:
    """Cases: a requirement, and the locks in which it must be found."""
    return [
        pytest.param(Requirement(one), files, id=f"{files[0]}: {one}")
        for one in words
        if not one.startswith("ecomdeploy")
    ]


WANTED = [
    *asked([*PROJECT["dependencies"], *EXTRAS["dev"], *EXTRAS["data"], *EXTRAS["train"]], *MAIN),
    *asked(KERAS, "keras.txt", *MAIN),
    *asked(re.findall(r"'([^']+)'", SAGEMAKER), "sagemaker.txt"),
    *asked(["uv"], "uv.txt"),
]


def entries(*files: str) -> dict[str, list[tuple[Version, str]]]:
    """Of each package its locked versions, with the text of the entry."""
    found: dict[str, list[tuple[Version, str]]] = {}
    for name in files:
        text = (ROOT / "locks" / name).read_text()
        for entry in re.findall(r"^[^\s#].*\n(?:[ \t].*\n)*", text, re.MULTILINE):
            package, _, rest = entry.partition("==")
            version = Version(re.split(r"[ ;\\]", rest, maxsplit=1)[0])
            found.setdefault(canonicalize_name(package), []).append((version, entry))
    return found


@pytest.mark.parametrize(("wanted", "files"), WANTED)
def test_what_is_asked_for_is_locked(wanted: Requirement, files: tuple[str, ...]) -> None:
    locked = [version for version, _ in entries(*files).get(canonicalize_name(wanted.name), ())]
    assert locked, HINT
    assert any(wanted.specifier.contains(version, prereleases=True) for version in locked), HINT


@pytest.mark.parametrize("file", sorted((ROOT / "locks").glob("*.txt")), ids=lambda file: file.name)
def test_every_entry_has_its_hashes_and_nothing_else(file: Path) -> None:
    """No address, no option, no file: a name, a version, a marker, hashes."""
    form = re.compile(r"[a-z0-9-]+==[\w.+!]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n")
    every = [entry for all_of in entries(file.name).values() for _, entry in all_of]
    assert every
    assert [entry[:100] for entry in every if not form.fullmatch(entry)] == []


def test_keras_lies_on_the_main_environment_and_hides_nothing_of_it() -> None:
    """But for setuptools, of which a fresh environment has an old one."""
    main, keras = entries(*MAIN), entries("keras.txt")
    assert {name for name in keras if name in main} == {"setuptools"}
    assert keras["setuptools"] == main["setuptools"]


def test_nothing_is_installed_without_hashes() -> None:
    """But for torch from an index that the user names, and this package itself."""
    lines = [line.strip() for line in MAKEFILE.splitlines() if "$(call packages," in line]
    lines += [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if "pip install " in line]
    assert len(lines) == 7
    without = [line for line in lines if "--no-deps --require-hashes -r locks/" not in line]
    assert [line.split()[-1] for line in without] == ["$(TORCH)", "."]


def test_torch_is_apart() -> None:
    """TORCH_INDEX may name another index for it, whose builds have other hashes."""
    assert "\ntorch==" in (ROOT / "locks" / "torch.txt").read_text()
    assert not re.search(
        r"^(torch|triton|nvidia-\w+)==", (ROOT / "locks" / "dev.txt").read_text(), re.MULTILINE
    )
