"""What an image holds around a model of one format: decided by the format, named without loading a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modelpack.digests import digest
from modelpack.runtimes.base import Runtime
from modelpack.usecases.base import UseCase
from modelpack.usecases.optional.serving import requirements_of, unneeded_of


@dataclass(frozen=True)
class ServingEnvironment:
    """A runtime with the packages that it and the use case ask of an image."""

    runtime: Runtime
    usecase: UseCase[Any]

    @property
    def requirements(self) -> tuple[str, ...]:
        """The image's wheels: the runtime's and the use case's."""
        return (*self.runtime.requirements(), *requirements_of(self.usecase))

    @property
    def unneeded(self) -> frozenset[str]:
        """Distributions that these declare but serving never imports."""
        return self.runtime.unneeded | unneeded_of(self.usecase)

    @cached_property
    def debs_digest(self) -> str:
        """Names what the base's lock was made for."""
        return digest({"suite": self.runtime.debian_suite, "packages": self.runtime.debian_packages})

    @cached_property
    def wheels_digest(self) -> str:
        """Names what the wheels' lock was made for."""
        return digest({"requirements": self.requirements, "unneeded": sorted(self.unneeded)})
