"""A file of the user's that stands around his model, named in shop.py: `transform = Transform("transform.py", ...)`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelpack.errors import BadInput, Problem, first_line
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.server.engines.base import InvalidInput
from modelpack.server.signature import Tensor
from modelpack.server.transform import Slip, Steps, steps_in
from modelpack.usecases.own_model.asking import place_of

SERVED_AS = "transform.py"
"""Its name beside the model, whatever the user calls it."""


@dataclass(frozen=True)
class Transform:
    """`file`, beside shop.py, holds `prepare(inputs)`, `finish(answers)`, or both (`modelpack.server.transform`).

    `inputs` are what callers send, `outputs` what they get; left out: the model's own. `extra_fields`: under this name
    both see what an instance holds beside the inputs, an array with a dict a row; left out: that is refused.
    """

    file: str
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    extra_fields: str = ""

    def beside(self, kind: type) -> Path:
        """Where the file lies: beside the class that names it."""
        return Path(inspect.getfile(kind)).parent / self.file

    def interface(self, model: Signature) -> Signature:
        """What callers send and get."""
        return Signature(self.inputs or model.inputs, self.outputs or model.outputs)


def check_transform(transform: Transform | None, kind: type) -> list[Problem]:
    """What is wrong with it before anything runs."""
    if transform is None or (file := transform.beside(kind)).is_file():
        return []
    return [
        Problem("transform: there is no such file", str(file), hint="it lies beside the class's own file")
    ]


@dataclass(frozen=True)
class UserCode:
    """The code around a model, with the user's line for whatever goes wrong in it."""

    file: Path
    steps: Steps

    @classmethod
    def load(cls, file: Path, model: Signature, interface: Signature, extra_fields: str) -> UserCode:
        """Raises BadInput for code that does not load, and for extra fields under the name of an input or output."""
        taken = [one.name for part in (model, interface) for one in (*part.inputs, *part.outputs)]
        if extra_fields in taken:
            what = f"transform: extra_fields={extra_fields!r} is the name of an input or output"
            raise BadInput(what, hint="give another name")
        try:
            return cls(file, steps_in(file, model.inputs, interface.outputs, extra_fields))
        except Slip as slip:
            raise BadInput(str(slip), where=str(file), hint="def prepare(inputs): return inputs") from None
        except Exception as error:
            raise blame(error, file) from error

    def around(self, model: Run) -> Run:
        """A running model as callers see it. It raises BadInput for what the user's code raises or gives wrong."""

        def run(feeds: Arrays) -> Arrays:
            with self.blame():
                return self.steps.run(model, dict(feeds))

        return run

    def prepare(self, feeds: Arrays) -> Arrays:
        """What the model is given. Raises BadInput as a running model does."""
        with self.blame():
            return self.steps.make_inputs(dict(feeds))

    @contextmanager
    def blame(self) -> Iterator[None]:
        """What came through the user's file is told with its line; what did not is the model's."""
        try:
            yield
        except (Slip, InvalidInput) as error:
            raise blame(error, self.file) from error
        except Exception as error:
            raise (blame(error, self.file) if place_of(error, self.file) else error) from error


def blame(error: Exception, file: Path) -> BadInput:
    """The user's file and line, and what happened there."""
    caused = error.__cause__ if isinstance(error, InvalidInput) and error.__cause__ else error
    what = first_line(error) if isinstance(error, Slip) else f"{type(caused).__name__}: {first_line(error)}"
    return BadInput(what, where=place_of(caused, file) or str(file))
