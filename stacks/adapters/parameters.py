"""Parameters of SSM, as far as whoever ships needs them: whether they are there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

AT_ONCE = 10
"""docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html"""


@dataclass(frozen=True)
class SsmParameters:
    """`client` makes a boto client of SSM. No value is asked for in clear."""

    client: Callable[[], Any]

    def are_there(self, names: Collection[str]) -> bool:
        """See `stacks.collaborators.Parameters`."""
        api = self.client()
        wanted = sorted(names)
        some = (wanted[at : at + AT_ONCE] for at in range(0, len(wanted), AT_ONCE))
        return not any(api.get_parameters(Names=part)["InvalidParameters"] for part in some)
