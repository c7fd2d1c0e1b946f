"""Half an offer is a slip: a use case that has some members of a protocol and lacks others would be passed over in
silence.

Asked by `inputs/resolve.py` before anything is done.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from modelpack.errors import BadInput, Problem
from modelpack.language.task import LanguageTask
from modelpack.usecases.base import UseCase
from modelpack.usecases.optional.measuring import Guarded
from modelpack.usecases.optional.own_tables import OwnTables
from modelpack.usecases.optional.serving import OwnInterface
from modelpack.usecases.own_model.given import GivenModel

WHOLE: tuple[type[Any], ...] = (Guarded, LanguageTask, OwnInterface, OwnTables)
"""Those with more than one member, but for `Tunable`, whose members' names are too common (`loss`, `hidden`)."""


def check_offers(usecase: UseCase[Any]) -> None:
    """Raises BadInput for a use case that has a protocol in part; a model of the user's own may name things freely."""
    if not isinstance(usecase, GivenModel) and (problems := list(halves(usecase))):
        raise BadInput(problems)


def halves(usecase: UseCase[Any]) -> Iterator[Problem]:
    """Each protocol that is there in part."""
    for protocol in WHOLE:
        members = [name for name in vars(protocol) if not name.startswith("_")]
        lacking = [name for name in members if not hasattr(usecase, name)]
        if lacking and len(lacking) < len(members):
            have = ", ".join(name for name in members if name not in lacking)
            yield Problem(
                f"{usecase.name} has {have} and lacks {', '.join(lacking)}",
                inspect.getfile(type(usecase)),
                hint=f"{protocol.__name__} wants all of them: {protocol.__module__}",
            )
