"""`pack.lock`: the file beside `ecomdeploy.yaml` that users commit, so that the same bytes come out everywhere.

It holds three things, each with what it holds for: the gate's verdict (for the inputs it was measured on), the
Debian packages and the wheels (for what the runtime asks). A section whose `for` no longer fits is made anew.
A pack for a GPU has a lock of its own, `pack.cuda.lock`: one project may rehearse on the CPU and ship to a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput
from modelpack.home import write_atomically
from modelpack.pack import encode
from modelpack.runtimes.hardware import CPU

NAME = "pack.lock"
FORMAT = 1
NOTE = "Written by `ecomdeploy pack`. Commit it: the same inputs then give the same image. `--regate` measures anew."
SECTIONS = ("verdict", "debs", "wheels")
MADE = "made"
"""In a verdict: what was made of the model for the image, by digests (`modelpack.assembly.served`)."""
LAYERS = "layers"
"""In the sections of packages: the layers that they were made into, by what these are made of (`LayerPlan.key`)."""


@dataclass(frozen=True)
class Section:
    """One part of the lock: `holds_for` is a digest of what it was made from, `content` plain data."""

    holds_for: str
    content: Mapping[str, Any]

    def as_data(self) -> dict[str, Any]:
        """As the file writes it."""
        return {"for": self.holds_for, **self.content}


@dataclass(frozen=True)
class Lock:
    """The whole file; a section that was never made is None."""

    verdict: Section | None = None
    debs: Section | None = None
    wheels: Section | None = None

    def get(self, name: str, holds_for: str) -> Mapping[str, Any] | None:
        """A section's content when it holds for exactly these inputs."""
        section: Section | None = getattr(self, name)
        return section.content if section is not None and section.holds_for == holds_for else None

    def get_packages(self, name: str, holds_for: str) -> Mapping[str, Any] | None:
        """A section's content without the layers that were made of it: they follow from it and from our own code."""
        content = self.get(name, holds_for)
        return content and {key: value for key, value in content.items() if key != LAYERS}

    def having(self, name: str, holds_for: str, content: Mapping[str, Any]) -> Lock:
        """The lock with one section set."""
        return replace(self, **{name: Section(holds_for, content)})


def path_of(project: Path, hardware: str = CPU) -> Path:
    """Where the lock of packs for that hardware lies."""
    return project / (NAME if hardware == CPU else f"pack.{hardware}.lock")


def read(project: Path, hardware: str = CPU) -> Lock:
    """The project's lock, empty when there is none. Raises BadInput when it cannot be understood."""
    path = path_of(project, hardware)
    if not path.exists():
        return Lock()
    hint = f"restore {path.name} from version control, or delete it to measure and lock anew"
    try:
        data = json.loads(path.read_text())
    except (ValueError, RecursionError, OSError) as error:
        raise BadInput(f"not readable: {error}", where=str(path), hint=hint) from error
    if isinstance(data, dict) and isinstance(newer := data.get("format"), int) and newer > FORMAT:
        what = f"a lock of format {newer}, and this version knows {FORMAT}"
        raise BadInput(what, where=str(path), hint="a newer ecomdeploy has written it: update this one")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadInput(f"not a lock of format {FORMAT}", where=str(path), hint=hint)
    wrong = [name for name in SECTIONS if name in data and not has_key(data[name])]
    if wrong:
        raise BadInput(f"its {wrong[0]} is damaged", where=str(path), hint=hint)
    return Lock(**{name: section(data[name]) for name in SECTIONS if name in data})


def write(project: Path, lock: Lock, hardware: str = CPU) -> None:
    """Write the lock when it changed, whole or not at all."""
    sections = {name: part.as_data() for name in SECTIONS if (part := getattr(lock, name)) is not None}
    data = encode({"format": FORMAT, "note": NOTE, **sections})
    path = path_of(project, hardware)
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, data)


def has_key(data: object) -> bool:
    """Whether this is a section."""
    return isinstance(data, dict) and isinstance(data.get("for"), str)


def section(data: Mapping[str, Any]) -> Section:
    """A section from its data."""
    return Section(data["for"], {key: value for key, value in data.items() if key != "for"})
