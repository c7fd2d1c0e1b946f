"""How many answers are on the wrong side of a guardrail while all is well: measured on held-out rows, for the record.

From that share follows the limit from which on an alarm rings where the spec names none.
"""

from __future__ import annotations

import re

import msgspec

from modelpack.errors import BadInput, Problem
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.gate.answers import answers
from modelpack.gate.trial import Trials
from modelpack.server import rows
from modelpack.server.guardrails import Guardrails
from modelpack.server.http.instances import Instances
from modelpack.server.signature import Guardrail
from modelpack.usecases.base import UseCase
from modelpack.usecases.optional.serving import (
    HeldOutRequests,
    as_called,
    guardrails_of,
    interface_of,
)

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
ROWS = 512
ROOM = 0.05
"""How much more than normal is borne, at the least."""


def measure(trials: Trials, run: Run) -> dict[str, dict[str, float]]:
    """For each guardrail its normal `share`, of how many `answers`, and the `limit` that follows."""
    declared = guardrails_of(trials.usecase)
    if not declared:
        return {}
    check_names(declared, interface_of(trials.usecase))
    counted = Guardrails(declared)
    counted.look(*ask(trials.usecase, run, trials.data, declared))
    return {
        name: {"share": round(share, 4), "answers": counted.answers, "limit": limit_for(share)}
        for name, share in counted.shares().items()
    }


def check_names(declared: tuple[Guardrail, ...], interface: Signature) -> None:
    """Raises BadInput, all problems at once."""
    given, answered = ([tensor.name for tensor in some] for some in (interface.inputs, interface.outputs))
    found = []
    for one in declared:
        if not NAME.fullmatch(one.name) or [other.name for other in declared].count(one.name) > 1:
            found.append(
                Problem(f"guardrail {one.name!r}: names are of small letters, digits and _, each once")
            )
        if one.output not in answered:
            found.append(
                Problem(
                    f"guardrail {one.name}: no output {one.output!r}",
                    hint=f"it answers: {', '.join(answered)}",
                )
            )
        if one.relative_to and one.relative_to not in given:
            found.append(
                Problem(
                    f"guardrail {one.name}: no input {one.relative_to!r}",
                    hint=f"it takes: {', '.join(given)}",
                )
            )
    if found:
        raise BadInput(found)


def limit_for(share: float) -> float:
    """Twice the normal share, or a twentieth more, whichever is more; 1 is never passed, so nothing rings."""
    return round(min(1.0, max(share + ROOM, 2 * share)), 4)


def ask(
    usecase: UseCase[object], run: Run, data: object, declared: tuple[Guardrail, ...]
) -> tuple[Arrays, Arrays]:
    """Held-out rows and their answers: as callers have them where that is known, else as the model has them, else of
    the golden requests."""
    if isinstance(usecase, HeldOutRequests):
        asked = dict(usecase.take_held_out(data, ROWS))
        return asked, rows.in_cuts(as_called(usecase, run, data), asked, usecase.max_batch)
    inside = usecase.signature()
    known = {tensor.name for tensor in (*inside.inputs, *inside.outputs)}
    if all(one.output in known and (not one.relative_to or one.relative_to in known) for one in declared):
        asked = dict(usecase.examples(data, ROWS))
        return asked, rows.in_cuts(run, asked, usecase.max_batch)
    return ask_golden(usecase, run, data)


def ask_golden(usecase: UseCase[object], run: Run, data: object) -> tuple[Arrays, Arrays]:
    """The golden requests and their answers, as callers have them."""
    import numpy as np

    interface = interface_of(usecase)
    pairs = answers(usecase, run, data)
    body = {"instances": [one for request, _ in pairs for one in request["instances"]]}
    asked, _ = Instances(interface.inputs).decode(msgspec.json.encode(body))
    said = [one for _, answer in pairs for one in answer["predictions"]]
    return asked, {
        tensor.name: np.array([one[tensor.name] for one in said], dtype=tensor.dtype)
        for tensor in interface.outputs
    }
