"""Sample requests with what is known to be right, checked against what the model takes."""

from __future__ import annotations

import difflib
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput, Problem
from modelpack.formats.signature import Signature, describe_tensor
from modelpack.server.http import extra_fields
from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import DTYPES, Tensor

FEWEST = 20
"""Requests; fewer say next to nothing about a metric."""
WANTED = "return inputs, truths: a dict of arrays by input name, and one truth per request"


class NoOutput(KeyError):
    """An answer that the model does not give."""

    __str__ = Exception.__str__


class Answers(dict[str, NDArray[Any]]):
    """What a model answered, by output name; a name that it does not answer tells those that it does."""

    def __missing__(self, name: object) -> NDArray[Any]:
        raise NoOutput(f"the model does not answer {name!r}; it answers: {', '.join(self)}")


@dataclass(frozen=True)
class Held:
    """Requests that were held out: `inputs` by name, first axis requests; `truths` one each; `groups` says which
    belong together when resampling. `ready` are the inputs in the model's own types."""

    inputs: Mapping[str, NDArray[Any]]
    truths: Any
    groups: NDArray[Any]
    where: str

    def __len__(self) -> int:
        return len(self.groups)

    def ready(self, signature: Signature, extra: str = "") -> dict[str, NDArray[Any]]:
        """The inputs as the model takes them. Raises as `conform`."""
        return conform(self.inputs, signature, self.where, extra)


def hold_requests(answered: Any, where: str) -> Held:
    """What `requests()` answered. Raises BadInput, all problems at once, `where` it was answered."""
    if not isinstance(answered, tuple) or len(answered) not in (2, 3) or not isinstance(answered[0], Mapping):
        raise BadInput(f"requests() answered {kind_of(answered)}", where=where, hint=WANTED)
    inputs = {str(name): array(name, values, where) for name, values in answered[0].items()}
    truths = answered[1]
    if not inputs:
        raise BadInput("requests() answered no input at all", where=where, hint=WANTED)
    lengths = {f"input {name!r}": array.shape[0] if array.ndim else -1 for name, array in inputs.items()}
    lengths["truths"] = length_of(truths)
    groups = answered[2] if len(answered) == 3 else None
    if groups is not None:
        lengths["groups"] = length_of(groups)
    if -1 in lengths.values():
        bare = [name for name, length in lengths.items() if length < 0]
        raise BadInput(f"requests(): {', '.join(bare)} is no list or array", where=where, hint=WANTED)
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise BadInput(f"requests() answered unequal lengths: {told}", where=where, hint=WANTED)
    count = lengths["truths"]
    if count < FEWEST:
        what = f"requests() answered {count} requests; at least {FEWEST} are needed to measure anything"
        raise BadInput(what, where=where, hint="hold out more of your data")
    rows = np.arange(count) if groups is None else np.asarray(groups)
    return Held(inputs, truths, rows, where)


def array(name: str, values: Any, where: str) -> NDArray[Any]:
    """Values as an array. Raises BadInput for requests of unequal shapes."""
    try:
        return np.asarray(values)
    except ValueError as error:
        what = f"input {name!r} has requests of unequal shapes"
        raise BadInput(what, where=where, hint="pad them to one length") from error


def conform(
    inputs: Mapping[str, NDArray[Any]], signature: Signature, where: str, extra: str = ""
) -> dict[str, NDArray[Any]]:
    """Arrays in the model's own types; those of other names are, where a name for them is given, one array of dicts.
    Raises BadInput for other names, shapes and kinds of value, all problems at once."""
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    problems = []
    for name in inputs:
        if name not in wanted and not extra:
            near = difflib.get_close_matches(name, wanted, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes: {', '.join(wanted)}"
            problems.append(Problem(f"the model has no input {name!r}", where, hint=hint))
    rows = max((len(values) for values in inputs.values()), default=0)
    given = dict(inputs)
    for name, tensor in wanted.items():
        if name not in inputs and tensor.default is not None:
            given[name] = np.full((rows, *(max(size, 0) for size in tensor.shape[1:])), tensor.default)
        elif name not in inputs:
            problems.append(Problem(f"requests() lacks the model's input {describe_tensor(tensor)}", where))
        elif what := misfit(inputs[name], tensor):
            problems.append(
                Problem(f"input {name!r}: {what}; the model takes {describe_tensor(tensor)}", where)
            )
    if problems:
        raise BadInput(problems, hint="make requests() answer what the model takes")
    found = {name: np.ascontiguousarray(given[name], DTYPES[one.datatype]) for name, one in wanted.items()}
    return {**found, extra: as_sent(inputs, wanted, rows, where)} if extra else found


def as_sent(inputs: Mapping[str, NDArray[Any]], known: Container[str], rows: int, where: str) -> NDArray[Any]:
    """What is no input, row by row, as the server reads it from a caller's JSON. Raises BadInput for what it refuses
    and what JSON cannot carry."""
    more = {name: values for name, values in inputs.items() if name not in known}
    try:
        told = [{name: json_value(values[row]) for name, values in more.items()} for row in range(rows)]
        text = msgspec.json.encode(told)
        read = msgspec.json.decode(text, type=list[dict[str, msgspec.Raw]])
        return np.concatenate([extra_fields.read([one], (), Limits()) for one in read])
    except (Refusal, TypeError, ValueError) as refused:
        what = f"requests(): {', '.join(more)}: {refused}"
        raise BadInput(what, where=where, hint="extra fields are what a caller's JSON carries") from None


def misfit(array: NDArray[Any], tensor: Tensor) -> str:
    """Why an array is not what the model takes, in words; empty when it is."""
    have, want = list(array.shape[1:]), list(tensor.shape[1:])
    if len(have) != len(want) or any(size not in (-1, own) for own, size in zip(have, want, strict=True)):
        return f"each request has the shape {have}"
    kind, datatype = array.dtype.kind, tensor.datatype
    if datatype == "BYTES":
        texts = kind == "U" or (kind == "O" and all(isinstance(one, str) for one in array.ravel()))
        return "" if texts else f"its values are {array.dtype}, not text"
    if datatype == "BOOL":
        return "" if kind == "b" else f"its values are {array.dtype}, not true or false"
    if datatype.startswith("FP"):
        if kind not in "fiub":
            return f"its values are {array.dtype}"
        return no_number(array.astype(np.float64), tensor)
    if kind not in "iu":
        return f"its values are {array.dtype}, not whole numbers"
    limits = np.iinfo(DTYPES[datatype])
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        return f"its values go from {array.min()} to {array.max()}"
    return ""


def no_number(array: NDArray[np.float64], tensor: Tensor) -> str:
    """The first value that no request can carry, in words; NaN is a missing value where the input takes one."""
    bad = np.isinf(array) if tensor.missing else ~np.isfinite(array)
    rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
    if not len(rows):
        return ""
    value = array[rows[0]][bad[rows[0]]].ravel()[0]
    if np.isinf(value):
        return f"request {rows[0]} holds {value}, which JSON cannot carry"
    shape = f"({', '.join(str(size) for size in tensor.shape)},)"
    say = f"Tensor({tensor.name!r}, {tensor.datatype!r}, {shape}, missing=True)"
    return f"request {rows[0]} holds {value}; if the model takes missing values, say so: {say}"


def kind_of(value: Any) -> str:
    """What was answered, for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}: {', '.join(type(one).__name__ for one in value)}"
    return f"a {type(value).__name__}"


def length_of(values: Any) -> int:
    """How many; -1 for what has no length."""
    return len(values) if hasattr(values, "__len__") and not isinstance(values, str | Mapping) else -1


def instance(inputs: Mapping[str, NDArray[Any]], row: int) -> dict[str, Any]:
    """One request as JSON values; a float32 by its shortest decimal that reads back the same, NaN as null. Fields that
    are no input stand beside the inputs."""
    found: dict[str, Any] = {}
    for name, array in inputs.items():
        value = array[row]
        found |= value if isinstance(value, dict) else {name: json_value(value)}
    return found


def json_value(value: Any) -> Any:
    """An array or a numpy value as JSON."""
    if isinstance(value, np.ndarray):
        return [json_value(one) for one in value]
    if isinstance(value, np.floating):
        return None if np.isnan(value) else float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def values_per_request(inputs: Mapping[str, NDArray[Any]]) -> int:
    """How many numbers one request carries."""
    return sum(int(np.prod(array.shape[1:])) for array in inputs.values())
