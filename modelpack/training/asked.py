"""A training as a job is asked for it: hyperparameters, which are texts, there and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from modelpack.errors import BadInput, EcomdeployError
from modelpack.inputs.data_places import find_data
from modelpack.inputs.spec import DataSpec, ModelSpec, PackSpec, TrainSpec
from modelpack.usecases.base import usecases

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs, PackRequest

DATA = "data"
"""The folder of the user's own data in the project's channel."""


@dataclass(frozen=True, kw_only=True)
class AskedTraining:
    """`data`: the user's own below the project's channel, "" where the use case's is used. `inputs` and `code` name
    what is expected (`Inputs.training_digest`, of its code): a container that holds other code must not train."""

    usecase: str
    inputs: str
    code: str
    epochs: int
    seed: int
    architecture: str = ""
    data: str = ""
    unreadable: float = 0.0

    @classmethod
    def of(cls, inputs: Inputs) -> AskedTraining:
        """Of what was resolved here."""
        train = inputs.train
        return cls(
            usecase=inputs.request.usecase,
            inputs=inputs.training_digest,
            code=inputs.training_facts[0],
            epochs=train.epochs or inputs.usecase.epochs,
            seed=train.seed,
            architecture=train.architecture or "",
            data=f"{DATA}/{inputs.data_path.name}" if inputs.data_path else "",
            unreadable=inputs.unreadable,
        )

    @classmethod
    def read(cls, given: Mapping[str, str]) -> AskedTraining:
        """From hyperparameters. Raises BadInput for one too many, one missing, or one of another form."""
        known = {one.name: one for one in fields(cls)}
        if unknown := sorted(given.keys() - known.keys()):
            raise BadInput(
                f"unknown hyperparameters: {', '.join(unknown)}", hint=f"known: {', '.join(known)}"
            )
        forms = {"int": int, "float": float, "str": str}
        try:
            values = {name: forms[str(known[name].type)](value) for name, value in given.items()}
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise BadInput(f"hyperparameters: {error}") from None

    def write(self) -> dict[str, str]:
        """As hyperparameters: what is empty is left out."""
        every = {one.name: str(getattr(self, one.name)) for one in fields(self)}
        return {name: value for name, value in every.items() if value}

    def resolve(self, project: Path) -> Inputs:
        """What decides the model, with the user's files below `project`: no passes, for a container has none.

        Raises BadInput for an unknown use case or architecture, and data that is not there.
        """
        from modelpack.inputs.resolve import Inputs, check_architecture

        request = self.request(project)
        train = request.model.train or TrainSpec()
        usecase = usecases().get(self.usecase, project)
        check_architecture(train, usecase)
        return Inputs(
            request=request,
            usecase=usecase,
            passes=(),
            train=train,
            model_path=None,
            data_path=find_data(project, request.data, usecase),
        )

    def request(self, project: Path) -> PackRequest:
        """The request of a pack that this is a part of."""
        from modelpack.inputs.resolve import PackRequest

        spec = TrainSpec(epochs=self.epochs, seed=self.seed, architecture=self.architecture or None)
        return PackRequest(
            usecase=self.usecase,
            model=ModelSpec(train=spec),
            pack=PackSpec(passes=()),
            instance="",
            project=project,
            data=DataSpec(path=self.data, unreadable=self.unreadable) if self.data else None,
        )

    def refuse_other(self, inputs: Inputs) -> None:
        """Raises EcomdeployError where what was found here is not what was asked for, naming which part differs."""
        if inputs.training_digest == self.inputs:
            return
        if inputs.training_facts[0] != self.code:
            raise EcomdeployError(
                "the training image holds other code than asked for it", hint="ecomdeploy up makes it anew"
            )
        versions = ", ".join(f"{name} {one}" for name, one in inputs.training_facts[1].items())
        raise EcomdeployError(
            f"the data, the options or the libraries are not those that were asked for (here: {versions})",
            hint="ecomdeploy up asks anew",
        )
