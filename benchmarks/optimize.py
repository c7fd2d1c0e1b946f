"""What `ecomdeploy pack` chooses, beside what others give by default, on the real use cases.

    python -m benchmarks.optimize search fraud           # the use case's own passes under the gate
    python -m benchmarks.optimize search --auto 150      # passes: auto with that budget in seconds

Peers get the same trained model: torch eager, torch.compile, AOTInductor (needs g++), ONNX Runtime with the plain
export, OpenVINO with the plain export, and for the text encoder optimum-onnx's export and its dynamic int8
(`optimum_program.py` says how to make its environment; without it the file says that it was left out). All run on one
thread, as ours does. Every peer takes turns with ours on the same held-out requests, padded as the server would;
figures are medians of paired ratios of processor time with their intervals, and a ratio above 1 says that ours is
better. Metric and agreement are of all held-out requests, for each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from benchmarks import _optimum
from benchmarks._slices import take
from modelpack.build import context
from modelpack.formats.onnx_export import free_batch, quiet
from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import MEGABYTE, TORCH, Variant
from modelpack.gate.answers import agreement
from modelpack.gate.greedy import TIE
from modelpack.gate.measure import measure
from modelpack.gate.reference import Reference, prepare
from modelpack.gate.timing import FIXED, Comparison, compare
from modelpack.home import Home
from modelpack.inputs.resolve import Inputs, PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.passes.base import passes
from modelpack.progress import Silent
from modelpack.runtimes.eager import on_one_thread
from modelpack.usecases.base import UseCase
from modelpack.usecases.optional.measuring import agreement_of, turns_of
from modelpack.usecases.optional.serving import pad_as_served, text_of

USECASES = ("fraud", "pricing", "recommendation", "search")
INSTANCE = "ml.c7i.xlarge"
EXAMPLES = 256
TOOLS = ("openvino", "lightgbm")


@dataclass(frozen=True)
class Peer:
    """A way to run the trained model, and MB (1e6 bytes) of its files."""

    run: Run
    size_mb: float
    versions: Mapping[str, str] | None = None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimize")
    parser.add_argument("usecases", nargs="*", default=list(USECASES))
    parser.add_argument(
        "--auto", type=float, metavar="SECONDS", help="search for the passes within this budget"
    )
    asked = parser.parse_args(arguments)
    pack = PackSpec(passes=("auto",), budget=asked.auto) if asked.auto else PackSpec()
    return take("optimize", asked.usecases, lambda name: figures(name, pack), TOOLS)


def figures(name: str, pack: PackSpec) -> dict[str, Any]:
    """One use case: ours chosen now, then each peer in turns with it."""
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-optimize-") as folder:
        home = Home(Path(folder) / "home", cache)
        inputs = resolve(PackRequest(name, ModelSpec(), pack, INSTANCE, Path(folder)))
        with context(home) as place:
            reference = prepare(inputs, home, place, Told())
            began = time.monotonic()
            variant, verdict = measure(inputs, reference, Told())
            seconds = time.monotonic() - began
            return compared(inputs, reference, variant, verdict, seconds)


def compared(
    inputs: Inputs, reference: Reference, variant: Variant, verdict: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """The document of one use case."""
    trials, usecase = reference.trials, inputs.usecase
    ours = Peer(trials.run(variant), variant.size_mb)
    rows = {}
    for name, made in (peers(reference, inputs) | encoders(reference, usecase)).items():
        print(f"* beside {name}", file=sys.stderr)
        try:
            peer = made()
        except Exception as problem:
            rows[name] = {"failed": f"{type(problem).__name__}: {problem}"[:300]}
            continue
        rows[name] = beside(peer, ours, reference, usecase)
    return {
        "passes": list(variant.passes),
        "chosen_by": "auto" if inputs.request.pack.automatic else "the use case's list",
        "runtime": inputs.find_environment(variant.format).runtime.name,
        "gate_s": round(seconds, 1),
        "objective": inputs.request.pack.objective,
        "batch": usecase.max_batch,
        "ours": {**quality(ours, reference, usecase), "size_mb": round(variant.size_mb, 4)},
        "trained": dict(verdict["reference"]),
        "peers": rows,
        **({"left_out": _optimum.lacks()} if text_of(usecase) and _optimum.lacks() else {}),
        **standing(rows),
    }


def standing(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Ours beside the quickest peer by rows per processor second, and by one request. `worse` where the whole interval
    of the ratio is below what the gate takes for a tie (1 / 1.05); peers that miss the gate's limits are named but do
    not count."""
    found: dict[str, Any] = {}
    for what in ("throughput", "latency"):
        ratios = {name: row[what] for name, row in rows.items() if what in row and row["keeps_the_gate"]}
        best = min(ratios, key=lambda name: ratios[name]["median"])
        found[f"best_peer_by_{what}"] = best
        found[f"worse_by_{what}"] = ratios[best]["high"] < 1 / TIE
    return found


def beside(peer: Peer, ours: Peer, reference: Reference, usecase: UseCase[Any]) -> dict[str, Any]:
    """A peer's figures, and ours against it."""
    examples = usecase.examples(reference.trials.data, EXAMPLES)
    question, as_served = FIXED.within(turns_of(usecase)), partial(pad_as_served, usecase)
    found: Comparison = compare(
        peer.run, ours.run, examples, usecase.max_batch, question=question, as_served=as_served
    )
    return {
        **quality(peer, reference, usecase),
        **{name: rounded(value) for name, value in asdict(found.before).items()},
        "ours_p50_ms": rounded(found.after.p50_ms),
        "ours_p99_ms": rounded(found.after.p99_ms),
        "ours_rows_per_cpu_s": rounded(found.after.rows_per_cpu_s),
        "latency": {name: rounded(value) for name, value in asdict(found.latency).items()},
        "throughput": {name: rounded(value) for name, value in asdict(found.throughput).items()},
        "size_mb": round(peer.size_mb, 4),
        **({"versions": dict(peer.versions)} if peer.versions else {}),
    }


def quality(peer: Peer, reference: Reference, usecase: UseCase[Any]) -> dict[str, Any]:
    """The task metric on all held-out requests, and how much of the trained model's ranking is kept."""
    trials = reference.trials
    trained, own = trials.evaluation(trials.reference), usecase.evaluate(peer.run, trials.data)
    shared = agreement(trained, own)
    sign = 1 if trained.higher_is_better else -1
    drop = sign * float(trained.values.mean() - own.values.mean())
    allowed = trials.metric_drop(PackSpec().gate)
    return {
        "metric": {"name": own.metric, "value": float(own.values.mean())},
        "agreement": None if shared is None else round(shared, 4),
        "keeps_the_gate": drop <= allowed and (shared is None or shared >= agreement_of(usecase)),
    }


def peers(reference: Reference, inputs: Inputs) -> dict[str, Callable[[], Peer]]:
    """The peers by name, each made when it is its turn."""
    trials, usecase = reference.trials, inputs.usecase

    def exported() -> Variant:
        return trials.make(passes().get("onnx"), trials.reference)

    known: dict[str, Callable[[], Peer]] = {
        "onnxruntime": lambda: Peer(trials.run(exported()), exported().size_mb),
        "openvino": lambda: Peer(openvino(exported(), usecase), exported().size_mb),
    }
    if trials.reference.format == TORCH:
        size = trials.reference.size_mb
        known = {
            "torch eager": lambda: Peer(trials.run(trials.reference), size),
            "torch.compile": lambda: Peer(compiled(trials.reference, usecase), size),
            "AOTInductor": lambda: compiled_ahead(reference, usecase),
            **known,
        }
    return known


def encoders(reference: Reference, usecase: UseCase[Any]) -> dict[str, Callable[[], Peer]]:
    """The peers that only text encoders have."""
    if usecase.name != "search" or reference.trials.reference.format != TORCH or _optimum.lacks():
        return {}
    made: dict[str, Any] = {}

    def one(name: str) -> Peer:
        if not made:
            made["files"], made["versions"] = _optimum.files(reference)
        path = made["files"][name]
        return Peer(_optimum.run_of(path, reference, usecase), _optimum.size_mb(path), made["versions"])

    return {name: partial(one, name) for name in _optimum.FILES}


def compiled(variant: Variant, usecase: UseCase[Any]) -> Run:
    """`torch.compile` as it comes, on one thread."""
    import torch

    torch.set_num_threads(1)
    compile_: Any = torch.compile
    model = compile_(usecase.load(variant.path))
    signature = usecase.signature()

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            answers = model(*(torch.from_numpy(arrays[tensor.name]) for tensor in signature.inputs))
        return {one.name: answer.numpy() for one, answer in zip(signature.outputs, answers, strict=True)}

    return run


def compiled_ahead(reference: Reference, usecase: UseCase[Any]) -> Peer:
    """AOTInductor: `torch.export`, then compiled by g++ to a package of machine code, in float32 and on one thread. No
    image could hold it: its code calls libtorch, is bound to this very CPU, and names this checkout's paths."""
    import torch._inductor

    signature, trained = usecase.signature(), reference.trials.reference
    examples = usecase.examples(reference.trials.data, 2)
    given = tuple(torch.from_numpy(examples[tensor.name]) for tensor in signature.inputs)
    package = reference.trials.folder / "model.pt2"
    with quiet(), torch.no_grad():
        program = torch.export.export(usecase.load(trained.path), given, dynamic_shapes=free_batch(signature))
        torch._inductor.aoti_compile_and_package(program, package_path=str(package))
    model = torch._inductor.aoti_load_package(str(package), run_single_threaded=True)
    return Peer(on_one_thread(model, usecase), package.stat().st_size / MEGABYTE)


def openvino(variant: Variant, usecase: UseCase[Any]) -> Run:
    """`compile_model` of the ONNX file with OpenVINO's own settings, but for one thread."""
    import openvino as library

    model = library.compile_model(str(variant.path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    names = [tensor.name for tensor in usecase.signature().outputs]

    def run(arrays: Arrays) -> Arrays:
        answers = model(dict(arrays))
        return {name: np.asarray(answers[name]) for name in names}

    return run


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


class Told(Silent):
    """Steps, notes and tables on stderr."""

    def step(self, title: str) -> None:
        print(f"* {title}", file=sys.stderr)

    def note(self, line: str) -> None:
        print(f"  {line}", file=sys.stderr)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        for row in (columns, *rows):
            print("  " + " | ".join(row), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
