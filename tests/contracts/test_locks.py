"""What `make install` installs is locked by version and sha256, and is what pyproject.toml asks for."""

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
WANTED = [Requirement(one) for one in (*PROJECT["dependencies"], *EXTRAS["dev"], *EXTRAS["train"])]
HINT = "make lock"


def entries() -> dict[str, list[tuple[Version, str]]]:
    """Of each package its locked versions, with the text of the entry."""
    found: dict[str, list[tuple[Version, str]]] = {}
    for name in ("dev.txt", "torch.txt"):
        text = (ROOT / "locks" / name).read_text()
        for entry in re.findall(r"^[^\s#].*\n(?:[ \t].*\n)*", text, re.MULTILINE):
            package, _, rest = entry.partition("==")
            version = Version(re.split(r"[ ;\\]", rest, maxsplit=1)[0])
            found.setdefault(canonicalize_name(package), []).append((version, entry))
    return found


@pytest.mark.parametrize("wanted", [one for one in WANTED if one.name != "ecomdeploy"], ids=str)
def test_what_is_asked_for_is_locked(wanted: Requirement) -> None:
    locked = [version for version, _ in entries().get(canonicalize_name(wanted.name), ())]
    assert locked, HINT
    assert any(wanted.specifier.contains(version, prereleases=True) for version in locked), HINT


def test_every_entry_has_its_hashes_and_nothing_else() -> None:
    """No address, no option, no file: a name, a version, a marker, hashes."""
    form = re.compile(r"[a-z0-9-]+==[\w.+!]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n")
    wrong = [entry[:100] for all_of in entries().values() for _, entry in all_of if not form.fullmatch(entry)]
    assert wrong == []


def test_torch_is_apart() -> None:
    """TORCH_INDEX may name another index for it, whose builds have other hashes."""
    assert "\ntorch==" in (ROOT / "locks" / "torch.txt").read_text()
    assert not re.search(
        r"^(torch|triton|nvidia-\w+)==", (ROOT / "locks" / "dev.txt").read_text(), re.MULTILINE
    )
