"""How often the gate comes to the same verdicts on a busy machine, and what it takes: turns until it is settled, beside
25 turns of every comparison whatever they say.

Each use case is trained once; then the two ways go through its passes by turns, with two busy processes a core beside
them. A pass agrees when all rounds of a way kept it, or none did.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs

from modelpack.build import context
from modelpack.formats.variant import Variant
from modelpack.gate.measure import measurable
from modelpack.gate.reference import prepare
from modelpack.gate.rules import Verdict
from modelpack.gate.timing import FIGURE, Comparison, TimingQuestion, compare
from modelpack.gate.trial import EXAMPLES, Trials, through_the_gate
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.progress import Silent
from modelpack.usecases.optional.serving import pad_as_served

USECASES = ("fraud", "pricing", "recommendation")
ROUNDS = 3
INSTANCE = "ml.c7i.xlarge"
BUSY = "while True: sum(range(100000))"


class FixedTurns(Trials):
    """As many turns for what is clear as for what is not."""

    def compare(
        self, before: Variant, after: Variant, title: str, question: TimingQuestion = FIGURE
    ) -> Comparison:
        examples = self.usecase.examples(self.data, EXAMPLES)
        as_served = partial(pad_as_served, self.usecase)
        runs = self.run(before), self.run(after)
        return compare(*runs, examples, self.usecase.max_batch, clock=self.clock(), as_served=as_served)


def measure() -> dict[str, Any]:
    return {"rounds": ROUNDS, **{name: repeated(name) for name in USECASES}}


def repeated(name: str) -> dict[str, Any]:
    """Both ways of one use case, `ROUNDS` times."""
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-verdicts-") as folder:
        home = Home(Path(folder) / "home", cache)
        inputs = resolve(PackRequest(name, ModelSpec(), PackSpec(), INSTANCE, Path(folder)))
        with context(home) as place:
            trials = prepare(inputs, home, place, Silent()).trials
            passes, _ = measurable(inputs)
            ways: dict[str, Trials] = {"until_settled": trials, "fixed_turns": as_fixed(trials)}
            go = partial(through_the_gate, passes=passes, limits=inputs.request.pack.gate)
            for way in ways.values():
                go(way)  # makes the variants: the rounds below only measure
            with busy():
                return {
                    way: summary(rounds)
                    for way, rounds in taken_in_turns(
                        {way: partial(verdicts, go, one) for way, one in ways.items()}
                    ).items()
                }


Round = tuple[float, tuple[Verdict, ...]]


def verdicts(go: Callable[[Trials], Any], trials: Trials) -> Round:
    """CPU seconds of the gate, and what it said."""
    began = time.process_time()
    judged = go(replace(trials))
    return time.process_time() - began, judged.verdicts


def taken_in_turns(ways: dict[str, Callable[[], Round]]) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, take in ways.items():
            rounds[way].append(take())
    return rounds


def as_fixed(trials: Trials) -> FixedTurns:
    return FixedTurns(**{each.name: getattr(trials, each.name) for each in fields(trials)})


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Passes that all rounds agree on, of how many; what each round said; turns and CPU seconds of each round."""
    kept = [{one.name: one.kept for one in said} for _, said in rounds]
    agreed = [name for name in kept[0] if len({one.get(name) for one in kept}) == 1]
    reasons = {
        name: [next(one.reason for one in said if one.name == name) for _, said in rounds]
        for name in kept[0]
        if name not in agreed
    }
    return {
        "passes": len(kept[0]),
        "agreed": len(agreed),
        "inconclusive": sum("inconclusive" in one.reason for _, said in rounds for one in said),
        "cpu_s": [round(seconds, 1) for seconds, _ in rounds],
        "turns": [sum(one.turns or 0 for one in said) for _, said in rounds],
        "disagreed": reasons,
    }


@contextmanager
def busy() -> Iterator[None]:
    """Two processes a core that do nothing but compute."""
    count = 2 * (os.cpu_count() or 1)
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for one in others:
            one.kill()
            one.wait()
