"""From files to a server that may say it is ready: files checked, model loaded, golden requests right."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from modelpack.server import file_manifest, golden, text
from modelpack.server import signature as contracts
from modelpack.server.chat.conversation import Conversation
from modelpack.server.chat.desk import Desk
from modelpack.server.chat.files import conversation
from modelpack.server.engines import load as runtimes
from modelpack.server.engines.base import InvalidInput, Runtime
from modelpack.server.http import sagemaker
from modelpack.server.http.batch import Batcher
from modelpack.server.http.instances import Instances
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import Contract, Unfit

MODEL = "opt/ecomdeploy/model"


@dataclass(frozen=True)
class Served:
    """A model that has proved itself."""

    contract: Contract
    content_digest: str
    instances: Instances
    batcher: Batcher
    hardware: str = "cpu"
    desk: Desk | None = None
    """Where a conversation is had, for models that answer in text piece by piece."""


def prepare(root: Path, observe: Callable[[int, float], None], allow_cpu: bool = False) -> Served:
    """All checks, in the order of their price. `observe` is told of model calls once it serves; `allow_cpu`: a GPU
    pack may serve without a GPU.

    Raises `Unfit` with the reason not to serve.
    """
    with ThreadPoolExecutor(1) as pool:
        # hashing and loading are both mostly outside the interpreter lock
        checked = pool.submit(file_manifest.check, root)
        try:
            contract = contracts.read(root / MODEL / "serving.json")
            choice = runtimes.choose(contract, allow_cpu)
            runtime = wrap(contract, root / MODEL, runtimes.load(contract, root / MODEL, choice))
        except Unfit:
            # a changed file explains more than what it then broke
            checked.result()
            raise
        content_digest = checked.result()
    instances = Instances(contract)
    check_golden(contract, instances, runtime)
    batcher = Batcher(runtime, contract.max_batch, observe)
    desk = Desk(runtime, batcher) if isinstance(runtime, Conversation) else None
    return Served(contract, content_digest, instances, batcher, choice.hardware, desk)


def wrap(contract: Contract, folder: Path, runtime: Runtime) -> Runtime:
    """The runtime as callers see it: text in, labels out, or a conversation. Raises `Unfit`."""
    if contract.chat is not None:
        return conversation(contract.chat, folder, runtime)
    return text.wrap(contract, folder, runtime)


def check_golden(contract: Contract, instances: Instances, runtime: Runtime) -> None:
    """Ask the golden requests, byte for byte as a caller would. Raises `Unfit` with the first differences."""
    for number, item in enumerate(contract.golden):
        try:
            feeds, _ = instances.decode(msgspec.json.encode(item.request))
            got = msgspec.json.decode(sagemaker.predictions(runtime.run(feeds)))
        except (Refusal, InvalidInput) as problem:
            raise Unfit(f"golden request {number} was refused: {problem}") from None
        differences = golden.compare(item.answer, got, contract.tolerance)
        if differences:
            raise Unfit(f"golden request {number} was answered wrong: {'; '.join(differences[:3])}")
