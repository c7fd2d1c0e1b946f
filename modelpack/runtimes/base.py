"""What executes a model: to measure it here, and to serve it in the image. One file per runtime."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from modelpack.catalog import Catalog
from modelpack.draft import Draft
from modelpack.usecases.base import Run, UseCase


class Runtime(abc.ABC):
    """An executor of drafts of one `format`.

    What an image needs to serve with it stands here as data: `debian_packages` (their closure is taken) and
    `requirements` (wheels) without the `unneeded` ones that serving never imports. `hardware` is "cpu" or "cuda".
    """

    name: ClassVar[str]
    format: ClassVar[str]
    hardware: ClassVar[str] = "cpu"
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


def runtime_for(wanted: str) -> Runtime:
    """The runtime that executes drafts of the `wanted` format."""
    catalog = runtimes()
    return next(runtime for name in catalog.names() if (runtime := catalog.get(name)).format == wanted)
