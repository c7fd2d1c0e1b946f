"""`ecomdeploy score`: a whole table through the pack, as a nightly batch: the same pack, the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, progress, show, wiring
from modelpack.errors import BadInput

if TYPE_CHECKING:
    from cli.scoring.servers import Packs
    from modelpack.progress import Progress
    from stacks.scoring.parts import Output

DIGEST, PREFIX = "sha256:", "ECOMDEPLOY_SECRET_"


def score(
    table: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A Parquet or CSV file, or a folder of such.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The folder to write; it must not be there yet.")
    ],
    environment: options.Environment = "local",
    folder: options.Folder = Path(),
    as_json: options.AsJson = False,
    release: Annotated[int | None, typer.Option(help="By which release; default: the live one.")] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="By this pack, released or not: `ecomdeploy pack --json`."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column to copy beside the answers; default: all that are no input."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Model servers; default: one a core.")
    ] = None,
) -> None:
    """Score a table on this machine by the servers of a pack, in bounded memory. A run that was killed goes on."""
    from cli.scoring import servers
    from stacks.scoring.columns import plan
    from stacks.scoring.parts import Output
    from stacks.scoring.run import mark_output, mark_parts
    from stacks.scoring.run import score as run
    from stacks.scoring.tables import open_source

    told, source, out = progress.choose(), open_source(table), Output(output.absolute())
    out.folder.parent.mkdir(parents=True, exist_ok=True)
    with servers.hold_packs(wiring.home(), told) as packs:
        chosen = choose_pack(packs, environment, folder, release, image, told)
        signature = packs.signature(chosen.digest)
        planned = plan(signature, source.schema, tuple(keep or ()), source.as_text)
        about = {"image": chosen.digest, "model": signature.model}
        if before := find_published(out, mark_output(mark_parts(source, planned, about))):
            tell(as_json, chosen, output, {**about, "rows": before["rows"], "scored": 0})
            return
        count = workers or servers.count_servers(signature)
        with packs.serve(chosen.digest, chosen.variables, count, told) as asked:
            done = run(source, planned, out, asked, about, told)
    tell(as_json, chosen, output, {**about, **asdict(done), "workers": count})


@dataclass(frozen=True)
class Chosen:
    """`release`: its number; None: a pack that is in none."""

    digest: str
    release: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def choose_pack(
    packs: Packs, environment: str, folder: Path, release: int | None, image: str | None, told: Progress
) -> Chosen:
    """By its digest, by its release, or what is live; brought from its registry where it is not here."""
    if image is not None:
        if release is not None:
            raise BadInput("--image and --release exclude each other")
        digest = image if image.startswith(DIGEST) else f"{DIGEST}{image}"
        if not packs.holds(digest):
            raise BadInput(
                f"no image by the digest {digest} is on this machine",
                where="--image",
                hint="`ecomdeploy pack --json` names that of a pack; for one that was released: --release N",
            )
        return Chosen(digest)
    spec = wiring.load_spec(folder, environment)
    wanted = wiring.find_release(
        folder, spec, release, "; or --image with what `ecomdeploy pack --json` says"
    )
    repository = wanted.image.rpartition("@")[0]
    packs.bring(wiring.wire(folder, spec, told).images.registry(repository), wanted.pack.digest, told)
    plain = {name: text for name, text in wanted.serving.environment.items() if not name.startswith(PREFIX)}
    return Chosen(wanted.pack.digest, wanted.number, plain)


def find_published(out: Output, mark: str) -> Mapping[str, Any] | None:
    """The manifest of what is there, if it is of the same table, model and columns. Raises BadInput for another's."""
    before = out.read_published()
    if before is not None and before.get("mark") != mark:
        raise BadInput(
            "has the scores of another table, or of another model",
            where=str(out.folder),
            hint="name another folder",
        )
    return before


def tell(as_json: bool, chosen: Chosen, output: Path, done: Mapping[str, Any]) -> None:
    if as_json:
        show.document({"output": str(output), "release": chosen.release, **done})
        return
    by = f"release {chosen.release}" if chosen.release else chosen.digest
    if not done["scored"]:
        show.say(f"{output} has the {done['rows']:,} scores of {by} already: nothing to do.")
        return
    speed = done["scored"] / max(done["seconds"], 1e-9)
    show.say(
        f"Scored {done['scored']:,} rows by {by} in {done['seconds']:.1f} s, {speed:,.0f} a second with "
        f"{done['workers']} server{'s' if done['workers'] > 1 else ''}; {done['checked']} asked again alone, the same."
    )
    show.say(f"  {done['rows']:,} rows in {done['parts']} part{'s' if done['parts'] > 1 else ''} of {output}")
