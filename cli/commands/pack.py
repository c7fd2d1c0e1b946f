"""`ecomdeploy pack`: build only. The image lands in the local store, the verdict in pack.lock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options, progress, show, wiring
from modelpack.errors import BadInput
from modelpack.progress import tell_size


def pack(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    regate: Annotated[bool, typer.Option(help="Measure the optimization passes anew.")] = False,
    explain: Annotated[bool, typer.Option(help="Print every pass and combination with its figures.")] = False,
    check: Annotated[bool, typer.Option(help="Fail unless the lock is what these inputs give.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Draw them in one HTML file.")
    ] = None,
) -> None:
    """Train or take the model, run the passes under the gate, write the image."""
    from modelpack.inputs.lock import path_of
    from stacks.hardware import refuse_hopeless

    spec = wiring.load_spec(folder, environment)
    wanted = wiring.derive_wanted(spec)
    with wiring.point_at_lines(folder, environment):
        refuse_hopeless(wanted)
    lock = path_of(folder, wanted.hardware)
    committed = lock.read_bytes() if lock.is_file() else b""
    told = progress.choose()
    packer, base = wiring.builder_and_base(folder, spec, told)
    packed = packer.pack(wanted, told, regate=regate, base=base)
    if report is not None:
        from cli.record.report import report as drawn

        write_text(report, drawn(packed.record))
    if check and lock.read_bytes() != committed:
        what = "is not what these inputs give" if committed else "was not there"
        raise BadInput(f"{what}; it is written now", where=str(lock), hint=f"commit {lock.name}")
    if as_json:
        show.document(
            {"image": packed.digest, "record": packed.record, "content_digest": packed.content_digest}
        )
        return
    if explain:
        from cli.record.explain import explain as explained

        explained(packed.record)
        return
    metric, chosen = packed.record["metric"], packed.record["chosen"]
    show.say(f"Packed {spec.usecase}: {packed.digest}, {tell_size(packed.size_bytes)}.")
    show.say(
        f"  {metric['name']} {metric['value']:.4f} [{metric['low']:.4f}, {metric['high']:.4f}], "
        f"{against(metric)}; model {chosen['size_mb']:.1f} MB, {speed(packed.record)}"
    )
    for words in held_against(packed.record):
        show.say(f"  {words}")
    for words in describe_normal(packed.record):
        show.say(f"  {words}")
    if report is not None:
        show.say(f"  drawn in {report}")
    show.next_step(
        "ecomdeploy up", f"ships it; commit {lock.name} to get the same bytes everywhere", environment
    )


def against(metric: Mapping[str, Any]) -> str:
    """The baseline's figure, or that there is none."""
    figure = metric["baseline"]
    return "no baseline given" if figure is None else f"baseline {figure:.4f}"


def held_against(record: Mapping[str, Any]) -> list[str]:
    """Of a given model: whose answers were the reference."""
    return [
        f"reference: {one['by']}, on {one['requests']:,} requests"
        if one["by"]
        else f"no reference: {one['because']}"
        for one in record.get("fidelity", ())
        if not one["by"] or one["requests"]
    ]


def describe_normal(record: Mapping[str, Any]) -> list[str]:
    """Of each guardrail: how many answers are on its wrong side while all is well, and from what on an alarm rings."""
    return [
        f"{name}: normally {one['share']:.1%} of answers ({one['answers']:,} held out); "
        + (
            f"an alarm rings above {one['limit']:.1%}"
            if one["limit"] < 1
            else "no alarm unless one is asked for"
        )
        for name, one in record.get("guardrails", {}).items()
    ]


def speed(record: Mapping[str, Any]) -> str:
    """The slowest of a hundred requests; of a GPU pack also what it was measured on, for that may be a CPU."""
    chosen = record["chosen"]
    said = f"p99 {chosen['p99_ms']:.2f} ms"
    on_gpu = record.get("needs", {}).get("hardware", "cpu") != "cpu"
    return f"{said} on {chosen['hardware']}" if on_gpu else said


def write_text(path: Path, text: str) -> None:
    """Write a file. Raises BadInput when it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"the report cannot be written: {error.strerror}", where=str(path), hint="name another file"
        ) from error
