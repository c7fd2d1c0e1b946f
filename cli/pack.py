"""`ecomdeploy pack`: build only. The image lands in the local store, the verdict in pack.lock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, progress, show, wiring


def pack(
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    regate: Annotated[bool, typer.Option(help="Measure the optimization passes anew.")] = False,
) -> None:
    """Train or take the model, run the passes under the gate, write the image."""
    spec = wiring.load_spec(folder, environment)
    builder = wiring.builder(folder)
    packed = builder.pack(spec, progress.chosen(), regate=regate)
    if as_json:
        show.document({"image": packed.digest, "record": packed.record, "content_id": packed.content_id})
        return
    metric, chosen = packed.record["metric"], packed.record["chosen"]
    show.say(f"Packed {spec.usecase}: {packed.digest}, {show.megabytes(packed.size_bytes)}.")
    show.say(
        f"  {metric['name']} {metric['value']:.4f} [{metric['low']:.4f}, {metric['high']:.4f}], "
        f"baseline {metric['baseline']:.4f}; model {chosen['size_mb']:.1f} MB, p99 {chosen['p99_ms']:.2f} ms"
    )
    show.next_step("ecomdeploy up", "ships it; commit pack.lock to get the same bytes everywhere")
