"""The gate on real runs of a tiny model: a pass that breaks it, one that crashes, one that slows it, and good ones."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_usecase import Tiny

from modelpack.errors import EcomdeployError
from modelpack.formats.onnx_files import write
from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.gate.answers import answers
from modelpack.gate.combinations import search
from modelpack.gate.trial import Judged, Trials, through_the_gate
from modelpack.inputs.spec import GateSpec, PackSpec, TrainSpec
from modelpack.passes.base import GRAPH, Pass, PassContext, in_order
from modelpack.passes.onnx import OnnxExport
from modelpack.progress import Silent


class Graph(Pass):
    name: ClassVar[str] = "graph"
    title: ClassVar[str] = "graph"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = ""

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        return changed(variant, context, lambda values: values)


class Breaking(Graph):
    """Half of the dense layer's rows are lost: smaller in spirit, wrong in fact."""

    name: ClassVar[str] = "breaking"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        def halve(values: Any) -> Any:
            kept = values.copy()
            kept[300:] = 0
            return kept

        return changed(variant, context, halve)


class Crashing(Graph):
    name: ClassVar[str] = "crashing"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        raise MemoryError("no room for the scratch buffer")


class Idle(Graph):
    name: ClassVar[str] = "idle"


class Doubled(Graph):
    """Answers one score per row as a column of its own."""

    name: ClassVar[str] = "doubled"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        graph = onnx.load(str(variant.path))
        axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "column")
        graph.graph.initializer.append(axes)
        (score,) = [value for value in graph.graph.output if value.name == "score"]
        for node in graph.graph.node:
            node.output[:] = ["narrow" if name == "score" else name for name in node.output]
        graph.graph.node.append(onnx.helper.make_node("Unsqueeze", ["narrow", "column"], ["score"]))
        score.type.tensor_type.ClearField("shape")
        return write(graph, context.folder)


class Declared(Graph):
    """Answers as it should, but its graph declares another shape."""

    name: ClassVar[str] = "declared"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        graph = onnx.load(str(variant.path))
        (score,) = [value for value in graph.graph.output if value.name == "score"]
        score.type.tensor_type.shape.dim.add().dim_value = 7
        return write(graph, context.folder)


class Leaking(Graph):
    """Knows the dense layer that answers the held-out requests rightly."""

    name: ClassVar[str] = "leaking"

    def __init__(self, weights: Any) -> None:
        self.weights = weights

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        def right(values: Any) -> Any:
            return self.weights if values.shape == self.weights.shape else self.weights.T.copy()

        return changed(variant, context, right)


class Half(Graph):
    """The table in 16 bits."""

    name: ClassVar[str] = "half"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        graph = onnx.load(str(variant.path))
        (table,) = [one for one in graph.graph.initializer if "table" in one.name]
        name, values = table.name, numpy_helper.to_array(table).astype(np.float16)
        table.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
        cast = onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
        graph.graph.node.insert(0, cast)
        return write(graph, context.folder)


def changed(variant: Variant, context: PassContext, change: Any) -> Variant:
    graph = onnx.load(str(variant.path))
    for tensor in graph.graph.initializer:
        if len(tensor.dims) == 2 and "dense" in tensor.name:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
    return write(graph, context.folder)


@pytest.fixture
def trials(tmp_path: Path) -> Trials:
    tiny, progress = Tiny(), Silent()
    (tmp_path / "trained").mkdir()
    path = tmp_path / "trained" / "model.safetensors"
    data = tiny.prepare(None, progress)  # type: ignore[arg-type]
    tiny.save(tiny.train(data, TrainSpec(), progress), path)
    return Trials(tiny, data, Variant(TORCH, path), tmp_path, progress, no_process)


def no_process(variant: Variant, usecase: Any, batch: Arrays) -> float:
    """Stands in for the fresh process that memory is measured in."""
    return 100 + variant.size_mb


def afresh(trials: Trials) -> Trials:
    """The same trained model and data in another folder, nothing made yet."""
    return Trials(
        trials.usecase, trials.data, trials.reference, trials.folder / "afresh", Silent(), no_process
    )


def gate(trials: Trials, *passes: Pass, limits: GateSpec | None = None) -> Judged:
    return through_the_gate(trials, [OnnxExport(), *passes], limits or GateSpec())


def test_what_breaks_and_what_crashes_is_dropped_and_the_rest_goes_on(trials: Trials) -> None:
    judged = gate(trials, Breaking(), Crashing())
    reasons = {verdict.name: verdict.reason for verdict in judged.verdicts}
    assert [verdict.kept for verdict in judged.verdicts] == [True, False, False]
    assert "may fall by" in reasons["breaking"] or "answers" in reasons["breaking"]
    assert reasons["crashing"] == "failed: MemoryError: no room for the scratch buffer"
    assert judged.variant.passes == ("onnx",)
    assert judged.chosen.metric == judged.reference.metric == 1.0
    assert "Optimization passes" in trials.progress.lines  # type: ignore[attr-defined]


def test_a_pass_that_lies_about_its_output_is_dropped(trials: Trials) -> None:
    judged = gate(trials, Doubled(), Declared())
    _, doubled, declared = judged.verdicts
    assert not doubled.kept
    assert "it answers 'score' as float32[1, 1]; wanted: FP32[1]" in doubled.reason
    assert not declared.kept
    assert declared.reason == "failed: its graph declares 'score' as [-1, 7]; wanted: [-1]"
    assert judged.variant.passes == ("onnx",)


def test_a_pass_that_knows_the_held_out_answers_is_refused(trials: Trials) -> None:
    """The trained model forgets a tenth; the planted pass puts the right answers back, which only the held-out data
    tells, and would be smaller as well."""
    path = trials.reference.path
    model = trials.usecase.load(path)
    whole = {name: value.clone() for name, value in model.state_dict().items()}
    items, following = trials.data
    forgotten = following[items % 10 == 3]
    assert not set(forgotten) & set(following[:2])
    model.dense.weight.data[forgotten] = 0
    trials.usecase.save(model, path)
    honest = gate(trials)
    assert honest.chosen.metric == pytest.approx(0.9, abs=0.01)
    _, verdict = gate(trials, Leaking(whole["dense.weight"].numpy())).verdicts
    assert not verdict.kept
    assert verdict.reason.startswith("too good to be true: the metric rises by at least 0.0")
    assert verdict.drop is not None
    assert verdict.drop.high < -0.05


def test_a_search_among_real_passes_takes_what_pays_and_says_why_of_the_rest(trials: Trials) -> None:
    passes = [OnnxExport(), Breaking(), Crashing(), Half(), Idle()]
    judged, found = search(trials, passes, PackSpec(passes=("auto",), objective="size", budget=600))
    reasons = {verdict.name: verdict.reason for verdict in judged.verdicts}
    assert judged.variant.passes == ("onnx", "half")
    assert judged.variant.size_mb == pytest.approx(judged.chosen.size_mb, abs=1e-3)
    assert found["points"][found["chosen"]]["passes"] == ["half"]
    assert reasons["crashing"].endswith("failed: MemoryError: no room for the scratch buffer")
    assert reasons["crashing"].count("failed") == 1
    assert "may fall by" in reasons["breaking"] or "answers" in reasons["breaking"]
    kept = [one for one in passes if one.name in {each.name for each in judged.verdicts if each.kept}]
    again = afresh(trials).again(kept)
    assert again.passes == judged.variant.passes
    assert [path.read_bytes() for path in again.files.values()] == [
        path.read_bytes() for path in judged.variant.files.values()
    ]
    assert found["complete"]
    assert {tuple(one["passes"]) for one in found["points"]} >= {(), ("half",), ("idle",), ("half", "idle")}
    assert not any("breaking" in one["passes"] for one in found["points"] if len(one["passes"]) > 1)
    with pytest.raises(EcomdeployError, match="size_mb"):
        search(trials, [OnnxExport()], PackSpec(passes=("auto",), gate=GateSpec(size_mb=0.01)))


def test_what_changes_nothing_does_not_pay(trials: Trials) -> None:
    (_, verdict) = gate(trials, Idle()).verdicts
    assert not verdict.kept
    assert verdict.reason.startswith(("does not pay", "inconclusive", "slower"))


def test_a_slower_runtime_is_measured_as_slower(trials: Trials) -> None:
    judged = gate(trials)
    run = trials.run(judged.variant)

    def slow(inputs: Arrays) -> Arrays:
        until = time.process_time_ns() + 2_000_000
        while time.process_time_ns() < until:
            pass
        return run(inputs)

    copy = Variant(ONNX, trials.folder / "copy" / "model.onnx")
    shutil.copytree(judged.variant.path.parent, copy.path.parent)
    runs: dict[Path, Run] = trials._runs
    runs[copy.path] = slow
    found = trials.compare(judged.variant, copy, "a slow one")
    assert found.latency.high < 0.87


def test_limits_of_the_user_stop_the_build(trials: Trials) -> None:
    with pytest.raises(EcomdeployError, match="size_mb"):
        gate(trials, limits=GateSpec(size_mb=0.01))


def test_the_verdict_alone_gives_the_same_model_again(trials: Trials, tmp_path: Path) -> None:
    passes = in_order(("onnx", "int8"), tmp_path)
    judged = through_the_gate(trials, passes, GateSpec())
    kept = [one for one in passes if one.name in judged.variant.passes]
    again = afresh(trials).again(kept)
    assert again.passes == judged.variant.passes
    assert [path.read_bytes() for path in again.files.values()] == [
        path.read_bytes() for path in judged.variant.files.values()
    ]


def test_golden_answers_are_what_the_server_would_say(trials: Trials) -> None:
    ((request, answer),) = answers(trials.usecase, trials.run(trials.reference), trials.data)
    assert request == {"instances": [{"item": 1}, {"item": 2}]}
    assert [row["next"] for row in answer["predictions"]] == [10, 17]
    assert all(isinstance(row["score"], float) for row in answer["predictions"])


def test_a_graph_given_by_the_user_goes_through_the_gate_without_an_export(
    trials: Trials, tmp_path: Path
) -> None:
    passes = in_order(("onnx", "int8"), tmp_path)
    exported = through_the_gate(trials, passes[:1], GateSpec()).variant
    given = Trials(
        trials.usecase, trials.data, Variant(ONNX, exported.path), tmp_path / "given", Silent(), no_process
    )
    judged = through_the_gate(given, passes, GateSpec())
    assert [verdict.name for verdict in judged.verdicts] == ["int8"]
    alone = through_the_gate(given, passes[:1], GateSpec())
    assert alone.variant == given.reference
    assert alone.chosen == alone.reference
    assert alone.reference.metric == 1.0
