"""Where in `ecomdeploy.yaml` a key stands, for problems that are found after the file was read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from modelpack.errors import BadInput, Problem
from stacks.reading.document import Value, read
from stacks.reading.load import environments_of, merge_layers


@contextmanager
def point_at_lines(file: Path, environment: str) -> Iterator[None]:
    """Problems that name a key and no place get the file's line of that key, or of the nearest above it."""
    try:
        yield
    except BadInput as error:
        if not any(one.path and not one.where for one in error.problems):
            raise
        document, _ = read(file)
        given = environments_of(document)[environment]
        merged = merge_layers(document, environment, given)
        raise BadInput([place(one, merged, str(file)) for one in error.problems], hint=error.hint) from error


def place(problem: Problem, document: Value, file: str) -> Problem:
    """The problem with its place, if its key or one above it stands in the file."""
    if not problem.path or problem.where:
        return problem
    keys = problem.path.split(".")
    lines = [found.line for size in range(len(keys), 0, -1) if (found := document.at(*keys[:size]))]
    line = next((one for one in lines if one), None)
    return replace(problem, where=f"{file}:{line}" if line else file)
