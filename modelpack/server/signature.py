"""`serving.json`: what the model takes and gives. Written by modelpack's runtimes, read here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

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


class Tensor(msgspec.Struct, frozen=True):
    """One input or output. The first axis of `shape` is the rows (-1); any other -1 may vary by request.

    An input with `default` may be left out or be shorter than its shape: it is padded at the end.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    default: int | float | bool | str | None = None

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


class Chat(msgspec.Struct, frozen=True):
    """Customer service around the language model: files beside it. `shop` is what may be said to anyone, `orders` the
    table of the order tool, `tokenizer` the model's own."""

    shop: str
    orders: str
    tokenizer: str


class Golden(msgspec.Struct, frozen=True):
    request: dict[str, Any]
    answer: dict[str, Any]


class Needs(msgspec.Struct, frozen=True):
    """What the pack needs of the machine, as far as the server looks. `kernels`: architectures (89 for 8.9) of machine
    code under "cubins" and of PTX under "ptx"."""

    hardware: str = "cpu"
    cuda: str = ""
    kernels: dict[str, tuple[int, ...]] = {}


class Session(msgspec.Struct, frozen=True):
    """Options of the runtime's session. `cuda_graph`: runs are captured on the GPU and replayed."""

    cuda_graph: bool = False


class Contract(msgspec.Struct, frozen=True):
    """The document. `threads` is per model call, `max_batch` rows.

    `inputs` and `outputs` are what callers send and get. `labels`: output -> a JSON file with the text of each place.
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
    session: Session = Session()
    decoding: Decoding | None = None
    chat: Chat | None = None

    @property
    def model_inputs(self) -> frozenset[str]:
        """Names of what the model file itself takes."""
        names = frozenset(tensor.name for tensor in self.inputs)
        text = self.text
        return names if text is None else names - {text.input} | {text.ids, text.mask}


def read(path: Path) -> Contract:
    """Raises `Unfit` when the file is missing, malformed or asks for what this server does not know."""
    try:
        contract = msgspec.json.decode(path.read_bytes(), type=Contract)
    except (OSError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{path.name}: {problem}") from None
    if contract.format != 1:
        raise Unfit(f"{path.name}: format {contract.format} is not known here (1 is)")
    for tensor in (*contract.inputs, *contract.outputs):
        if tensor.datatype not in DTYPES:
            raise Unfit(f"{path.name}: {tensor.name}: unknown datatype {tensor.datatype!r}")
        if not tensor.shape or tensor.shape[0] != -1:
            raise Unfit(f"{path.name}: {tensor.name}: the first axis of its shape must be -1 (rows)")
    if not contract.inputs or not contract.outputs or contract.max_batch < 1 or contract.threads < 1:
        raise Unfit(f"{path.name}: inputs, outputs, max_batch and threads must not be empty or zero")
    _check_text(contract, path)
    return contract


def _check_text(contract: Contract, path: Path) -> None:
    text, texts = contract.text, {"BYTES": (-1,)}
    given = {tensor.name: {tensor.datatype: tensor.shape} for tensor in contract.inputs}
    if text is not None and (given.get(text.input) != texts or text.longest < 1):
        raise Unfit(f"{path.name}: text: {text.input!r} must be a BYTES input of shape [-1], longest above 0")
    named = {tensor.name for tensor in contract.outputs if tensor.datatype == "BYTES"}
    if strangers := set(contract.labels) - named:
        raise Unfit(f"{path.name}: labels: {sorted(strangers)} are no BYTES outputs")
