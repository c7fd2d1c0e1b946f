"""What the catalogues know of use cases, passes, targets and instances, for the commands and the spec's loader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelpack.errors import BadInput

if TYPE_CHECKING:
    from modelpack.usecases.own_data.schema import OwnData
    from stacks.spec import KnownNames


def default_epochs(name: str) -> int:
    """How long the use case of this name trains unless told otherwise.

    Raises:
        BadInput: there is none; with the nearest known name.
    """
    from modelpack.usecases.base import usecases

    return usecases().get(name).epochs


def default_rate(name: str) -> float:
    """Requests per second and replica that a new project scales by."""
    from modelpack.usecases.base import usecases
    from modelpack.usecases.optional.serving import target_rps_of

    return target_rps_of(usecases().get(name))


def own_data(name: str) -> OwnData:
    """What a user's own data must hold for a use case.

    Raises:
        BadInput: there is no such use case, or it takes none.
    """
    from modelpack.usecases.base import usecases
    from modelpack.usecases.optional.own_tables import own_data_of
    from modelpack.usecases.own_model.given import GivenModel

    catalog = usecases()
    usecase = catalog.get(name, Path())
    wanted = own_data_of(usecase)
    if wanted is None:
        taking = [one for one in catalog.names() if own_data_of(catalog.get(one))]
        what = f"the use case {usecase.name!r} takes no own data yet"
        if isinstance(usecase, GivenModel):
            what = f"{usecase.name!r} is your own: its requests() reads whatever data it is given"
        raise BadInput(what, hint=f"these do: {', '.join(taking)}")
    return wanted


def known_names() -> KnownNames:
    """What the catalogues know, for the spec's loader."""
    from infra.instances import table
    from infra.targets.catalog import KnownTargets
    from modelpack.inputs.catalog import CatalogNames
    from stacks.spec import KnownNames

    def list_usecases() -> tuple[str, ...]:
        from modelpack.usecases.base import usecases

        return usecases().names()

    def list_passes() -> tuple[str, ...]:
        from modelpack.passes.base import passes

        return passes().names()

    return KnownNames(
        usecases=CatalogNames("modelpack.usecases", list_usecases),
        targets=KnownTargets(),
        passes=CatalogNames("modelpack.passes", list_passes),
        pool_instances=frozenset(table("pool")),
    )
