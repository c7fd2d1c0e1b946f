"""`ecomdeploy schema`: what a user's own data must hold, or what `ecomdeploy.yaml` may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from cli import catalogs, options, show

if TYPE_CHECKING:
    from modelpack.usecases.own_data.schema import Field, OwnData


def schema(
    usecase: Annotated[str | None, typer.Argument(help="Whose data; none: ecomdeploy.yaml itself.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """What `data: {path: ...}` of a use case must hold; without one, the JSON Schema of ecomdeploy.yaml."""
    if usecase is None:
        from stacks.reading.load import schema as of_the_file

        show.document(of_the_file())
        return
    wanted = catalogs.own_data(usecase)
    if as_json:
        show.document({"usecase": usecase, **wanted.as_data()})
        return
    tell(wanted)
    needed = [table.name for table in wanted.tables if table.required]
    where, files = "FILE.parquet", "Parquet or CSV, or a folder of them"
    if len(needed) > 1:
        where, files = "FOLDER", f"a folder of {', '.join(f'{name}.csv' for name in needed)}, or .parquet"
    show.next_step(f"data: {{path: {where}}}", f"in ecomdeploy.yaml; {files}")


def group(fields: Sequence[Field]) -> list[list[Field]]:
    """Columns one by one, but v1 to v28 that differ in nothing else together."""
    parts = groupby(fields, key=lambda one: (one.name.rstrip("0123456789"), replace(one, name="")))
    return [list(alike) for _, alike in parts]


def name_group(alike: Sequence[Field]) -> str:
    """One name, or the first and the last."""
    return alike[0].name if len(alike) == 1 else f"{alike[0].name} to {alike[-1].name}"


def tell(wanted: OwnData) -> None:
    """Each table with its columns, then the notes."""
    for table in wanted.tables:
        fewest = f"; at least {table.fewest:,} rows" if table.fewest > 1 else ""
        show.say(f"{table.name}{'' if table.required else ' (may be left out)'}: {table.about}{fewest}")
        rows = [
            (name_group(alike), alike[0].told, "" if alike[0].required else "may be left out", alike[0].about)
            for alike in group(table.fields)
        ]
        show.table(("column", "holds", "", "what it is"), rows)
        show.say()
    for note in wanted.notes:
        show.say(note)
