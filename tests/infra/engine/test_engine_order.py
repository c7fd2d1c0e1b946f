"""Order under parallelism: random graphs, created, changed and destroyed through the real engine."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pulumi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.rehearsal.engine.provider import DiffResponse, Fake
from infra.rehearsal.engine.resource import Resource
from infra.rehearsal.engine.steps import Goal, Op, blockers, cascade, decide, list_doomed


@st.composite
def graphs(draw: Any) -> Any:
    """For each node the earlier nodes it needs, by property or by depends_on."""
    size = draw(st.integers(1, 9))
    return [
        {need: draw(st.booleans()) for need in draw(st.sets(st.integers(0, node - 1), max_size=3))}
        if node
        else {}
        for node in range(size)
    ]


class Watching(Fake):
    """Notes when each create and delete starts and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[Any, ...]] = []
        self.watch = threading.Lock()

    def note(self, *entry: Any) -> None:
        with self.watch:
            self.log.append(entry)

    def create(self, type: Any, who: Any, inputs: Any, *, preview: Any) -> Any:  # noqa: A002
        if preview:
            return super().create(type, who, inputs, preview=True)
        self.note("start create", who.name)
        made = super().create(type, who, inputs, preview=preview)
        self.note("end create", who.name)
        return made

    def delete(self, known: Any) -> None:
        name = self.things[known.id].urn.rpartition("::")[2]
        self.note("start delete", name)
        super().delete(known)
        self.note("end delete", name)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(graphs(), st.data())
def test_no_create_before_its_needs_and_no_delete_before_its_dependents(
    lab: Any, thing: Any, graph: Any, data: Any
) -> None:
    lab.root = Path(tempfile.mkdtemp(dir=lab.root))
    lab.fake = lab.command.providers = Watching()
    lab.work.mkdir()
    shutil.copy(lab.root.parent / "work" / "Pulumi.dev.yaml", lab.work)
    kept = data.draw(st.sets(st.sampled_from(range(len(graph)))))

    def program(nodes: Any) -> Any:
        def run() -> None:
            made: dict[Any, Any] = {}
            for node in nodes:
                needs = {need: by for need, by in graph[node].items() if need in made}
                inputs = {f"of{need}": made[need].arn for need, by in needs.items() if by}
                after = [made[need] for need, by in needs.items() if not by]
                made[node] = thing(f"n{node}", inputs, pulumi.ResourceOptions(depends_on=after))

        return run

    everything = range(len(graph))
    assert lab.up(program(everything)).counts == {"create": len(graph) + 1}
    assert lab.up(program(everything)).changed == []
    # Keep a part that has all it needs.
    closed = {node for node in kept if all(need in kept for need in _closure(graph, node))}
    lab.up(program(sorted(closed)))
    lab.destroy()
    assert lab.fake.things == {}
    place = {entry: index for index, entry in enumerate(lab.fake.log)}
    for node in everything:
        for need in graph[node]:
            assert place["end create", f"n{need}"] < place["start create", f"n{node}"]
            assert place["end delete", f"n{node}"] < place["start delete", f"n{need}"]
    lab.root = lab.root.parent


def _closure(graph: Any, node: Any) -> Any:
    found = set()
    for need in graph[node]:
        found |= {need} | _closure(graph, need)
    return found


def made(name: Any, needs: Any = (), **extra: Any) -> Any:
    return Resource(
        urn=f"urn:pulumi:dev::shop::fake:index:Thing::{name}",
        type="fake:index:Thing",
        custom=True,
        id=name,
        dependencies=tuple(f"urn:pulumi:dev::shop::fake:index:Thing::{need}" for need in needs),
        **extra,
    )


@given(graphs())
def test_blockers_hold_every_dependent_back(graph: Any) -> None:
    resources = tuple(made(f"n{node}", [f"n{need}" for need in needs]) for node, needs in enumerate(graph))
    waits = blockers(resources)
    for node, needs in enumerate(graph):
        for need in needs:
            assert node in waits[need]
    gone: set[int] = set()
    while waits:
        ready = [index for index, dependents in waits.items() if dependents <= gone]
        assert ready
        gone.update(ready)
        for index in ready:
            del waits[index]


@given(graphs())
def test_cascade_takes_exactly_what_hangs_on_properties(graph: Any) -> None:
    urns = [made(f"n{node}").urn for node in range(len(graph))]
    resources = tuple(
        made(
            f"n{node}",
            [f"n{need}" for need in needs],
            property_dependencies={f"k{need}": (urns[need],) for need, by in needs.items() if by},
        )
        for node, needs in enumerate(graph)
    )
    chosen = cascade(resources, resources[0], lambda dependent, keys: True)
    expected = {0}
    for node, needs in enumerate(graph):
        if any(by and need in expected for need, by in needs.items()):
            expected.add(node)
    assert {int(one.name[1:]) for one in chosen} == expected - {0}


def test_verdicts() -> None:
    old = made("a")
    goal = Goal(urn=old.urn, type=old.type, custom=True)
    assert decide(goal, None, DiffResponse()).op is Op.CREATE
    assert decide(goal, old, DiffResponse()).op is Op.SAME
    assert decide(goal, old, DiffResponse(("x",))).op is Op.UPDATE
    assert decide(goal, made("a", init_errors=("broken",)), DiffResponse()).op is Op.UPDATE
    replaced = decide(goal, old, DiffResponse(("x",), ("x",)))
    assert (replaced.op, replaced.steps) == (Op.REPLACE, (Op.CREATE_REPLACEMENT, Op.REPLACE))
    again = decide(goal, made("a", pending_replacement=True), DiffResponse())
    assert again.steps == (Op.REPLACE, Op.CREATE_REPLACEMENT)


def test_doomed_are_the_undeclared_and_the_superseded() -> None:
    resources = (made("a"), made("b"), made("a", delete=True))
    assert list_doomed(resources, {made("a").urn}) == (resources[1], resources[2])


def test_parallelism_is_bounded(lab: Any, thing: Any) -> None:
    running, peak, lock = [0], [0], threading.Lock()
    create = lab.fake.create

    def counted(*args: Any, preview: Any) -> Any:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        threading.Event().wait(0.02)
        result = create(*args, preview=preview)
        with lock:
            running[0] -= 1
        return result

    lab.fake.create = counted
    lab.up(lambda: [thing(f"t{index}") for index in range(24)] and None)
    assert 2 <= peak[0] <= 16
    peak[0] = 0
    lab.up(lambda: [thing(f"u{index}") for index in range(6)] and None, parallel=1)
    assert peak[0] == 1
