"""What executes a model: to measure it here, and to serve it in the image. One file per runtime."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from modelpack.catalog import Catalog
from modelpack.draft import Draft
from modelpack.errors import BadInput
from modelpack.usecases.base import Run, UseCase

CPU = "cpu"


class Runtime(abc.ABC):
    """An executor of drafts of one `format`.

    What an image needs to serve with it stands here as data: `debian_packages` (their closure is taken) and
    `requirements` (wheels) without the `unneeded` ones that serving never imports. `hardware` is "cpu" or "cuda".
    One that does not `serve` only measures here.
    """

    name: ClassVar[str]
    format: ClassVar[str]
    hardware: ClassVar[str] = CPU
    serves: ClassVar[bool] = True
    debian_suite: ClassVar[str] = "bookworm"
    debian_packages: ClassVar[tuple[str, ...]] = ()
    unneeded: ClassVar[frozenset[str]] = frozenset()

    def requirements(self) -> tuple[str, ...]:
        """The wheels wanted, as requirement lines; what they need in turn is resolved."""
        return ()

    @abc.abstractmethod
    def open(self, draft: Draft, usecase: UseCase[Any]) -> Run:
        """The draft ready to run on one thread, as the server will run it."""


def runtimes() -> Catalog[Runtime]:
    """The runtimes known here."""
    return Catalog[Runtime]("runtime", "modelpack.runtimes", Runtime)


def runtime_for(wanted: str, hardware: str = CPU) -> Runtime:
    """The runtime that executes drafts of the `wanted` format on the `hardware`. Raises BadInput when none does."""
    catalog = runtimes()
    every = [catalog.get(name) for name in catalog.names()]
    fitting = [one for one in every if (one.format, one.hardware) == (wanted, hardware)]
    if not fitting:
        raise BadInput(f"no runtime executes the format {wanted!r} on {hardware!r}")
    return fitting[0]


def served_formats(hardware: str = CPU) -> frozenset[str]:
    """The formats that a runtime serves on the `hardware`."""
    catalog = runtimes()
    every = [catalog.get(name) for name in catalog.names()]
    return frozenset(one.format for one in every if one.serves and one.hardware == hardware)
