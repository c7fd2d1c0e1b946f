"""`serving.json`: the signature of what is served. Written by `modelpack/assembly/contents.py`, read here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from modelpack.server.golden import Golden

DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
"""Tensor data types of the Open Inference Protocol v2 and numpy's names for them."""


class Unfit(Exception):
    """This container must not serve; the text says why."""


class Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output as the Open Inference Protocol names it. The first axis of `shape` is the rows (-1); any
    other -1 may vary by request.

    An input with `default` may be left out or be shorter than its shape: it is padded at the end. `missing`: its values
    may be NaN, in JSON null, which the model takes for a value that is not known.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    default: int | float | bool | str | None = None
    missing: bool = False

    @property
    def dtype(self) -> Any:
        return DTYPES[self.datatype]


class Text(msgspec.Struct, frozen=True):
    """A BYTES input that callers send, and the model's own two inputs that the file `tokenizer` makes of it.

    `longest` is the most tokens that are read.
    """

    input: str
    tokenizer: str
    ids: str
    mask: str
    longest: int


class Decoding(msgspec.Struct, frozen=True):
    """The model file is one step of a language model, and the server loops: until the token `end`, or `most_new`
    tokens. `ahead`: how many tokens are guessed from the text so far and checked in one step. `prefix`: what prompts
    begin with, read once."""

    end: int
    most_new: int
    ahead: int = 0
    prefix: tuple[int, ...] = ()


class HandlerModule(msgspec.Struct, frozen=True):
    """A use case's own part of the server (`modelpack.server.handler`): its module, and the names of the files beside
    the model that it reads."""

    module: str
    files: dict[str, str] = {}


class TransformFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user's own code between callers and the model (`modelpack.server.transform`): its file beside the model, and
    what the model file itself takes and gives. `extra_fields`: under what name it sees the fields of an instance that
    are no input; empty: they are refused."""

    file: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    extra_fields: str = ""


class Guardrail(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which answers are on the wrong side, though fast and healthy. A share of them is normal; more rings an alarm.

    `name`: letters, digits and _; `kind`: "range": a value of `output` is below `low`, above `high` or no number,
    measured in the input `relative_to` where that is named; "word": `output` is `word`; "empty": the list holds
    nothing; "repeated": the list is that of the answer before, though something else was asked.
    """

    name: str
    output: str
    kind: Literal["range", "word", "empty", "repeated"] = "range"
    low: float | None = None
    high: float | None = None
    relative_to: str = ""
    word: str = ""


class Needs(msgspec.Struct, frozen=True):
    """What the pack needs of the machine, as far as the server looks. `kernels`: architectures (89 for 8.9) of machine
    code under "cubins" and of PTX under "ptx"."""

    hardware: str = "cpu"
    cuda: str = ""
    kernels: dict[str, tuple[int, ...]] = {}


class SessionOptions(msgspec.Struct, frozen=True):
    """Options of the runtime's session. `cuda_graph`: runs are captured on the GPU and replayed."""

    cuda_graph: bool = False


class ModelSignature(msgspec.Struct, frozen=True):
    """The document: what the server takes and gives, and how it makes that of the model file beside it.

    `inputs` and `outputs` are what callers send and get; what the model file itself takes and gives follows from `text`
    and `transform` (`model_inputs`, `model_outputs`). `threads` is per model call, `max_batch` rows. `labels`: output
    -> a JSON file with the text of each place.
    """

    format: int
    model: str
    runtime: str
    file: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    threads: int = 1
    max_batch: int = 64
    golden: tuple[Golden, ...] = ()
    tolerance: dict[str, dict[str, Any]] = {}
    text: Text | None = None
    labels: dict[str, str] = {}
    needs: Needs = Needs()
    session: SessionOptions = SessionOptions()
    decoding: Decoding | None = None
    handler: HandlerModule | None = None
    transform: TransformFile | None = None
    guardrails: tuple[Guardrail, ...] = ()

    @property
    def extra_fields(self) -> str:
        """Under what name the user's code sees fields that are no input; empty: they are refused."""
        return self.transform.extra_fields if self.transform else ""

    @property
    def model_inputs(self) -> frozenset[str]:
        """Names of what the model file itself takes."""
        inputs = self.transform.inputs if self.transform else self.inputs
        names = frozenset(tensor.name for tensor in inputs)
        text = self.text
        return names if text is None else names - {text.input} | {text.ids, text.mask}

    @property
    def model_outputs(self) -> tuple[str, ...]:
        """Names of what the model file itself gives."""
        outputs = self.transform.outputs if self.transform else self.outputs
        return tuple(tensor.name for tensor in outputs)


def read_signature(path: Path) -> ModelSignature:
    """Raises `Unfit` when the file is missing, malformed or asks for what this server does not know."""
    try:
        signature = msgspec.json.decode(path.read_bytes(), type=ModelSignature)
    except (OSError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{path.name}: {problem}") from None
    if signature.format != 1:
        raise Unfit(f"{path.name}: format {signature.format} is not known here (1 is)")
    for tensor in (*signature.inputs, *signature.outputs):
        if tensor.datatype not in DTYPES:
            raise Unfit(f"{path.name}: {tensor.name}: unknown datatype {tensor.datatype!r}")
        if not tensor.shape or tensor.shape[0] != -1:
            raise Unfit(f"{path.name}: {tensor.name}: the first axis of its shape must be -1 (rows)")
        if tensor.missing and not tensor.datatype.startswith("FP"):
            raise Unfit(f"{path.name}: {tensor.name}: {tensor.datatype} has no missing values, FP32 has")
    if not signature.inputs or not signature.outputs or signature.max_batch < 1 or signature.threads < 1:
        raise Unfit(f"{path.name}: inputs, outputs, max_batch and threads must not be empty or zero")
    _check_text(signature, path)
    _check_guardrails(signature, path)
    return signature


def _check_guardrails(signature: ModelSignature, path: Path) -> None:
    given, answered = ({one.name for one in some} for some in (signature.inputs, signature.outputs))
    for one in signature.guardrails:
        if one.output not in answered or (one.relative_to and one.relative_to not in given):
            raise Unfit(
                f"{path.name}: guardrail {one.name}: no output {one.output!r}, or no input {one.relative_to!r}"
            )


def _check_text(signature: ModelSignature, path: Path) -> None:
    text, texts = signature.text, {"BYTES": (-1,)}
    given = {tensor.name: {tensor.datatype: tensor.shape} for tensor in signature.inputs}
    if text is not None and (given.get(text.input) != texts or text.longest < 1):
        raise Unfit(f"{path.name}: text: {text.input!r} must be a BYTES input of shape [-1], longest above 0")
    named = {tensor.name for tensor in signature.outputs if tensor.datatype == "BYTES"}
    if strangers := set(signature.labels) - named:
        raise Unfit(f"{path.name}: labels: {sorted(strangers)} are no BYTES outputs")
