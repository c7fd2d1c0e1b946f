"""From files to a server that may say it is ready: files checked, model loaded, golden requests right."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from modelpack.server import file_manifest, golden, text
from modelpack.server.chat.conversation import Conversation
from modelpack.server.chat.desk import Desk
from modelpack.server.chat.files import conversation
from modelpack.server.engines import load as engines
from modelpack.server.engines.base import Engine, InvalidInput
from modelpack.server.http import sagemaker
from modelpack.server.http.batch import Batcher
from modelpack.server.http.instances import Instances
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import ModelSignature, Unfit, read_signature

MODEL = "opt/ecomdeploy/model"


@dataclass(frozen=True)
class ReadyModel:
    """A model that has proved itself."""

    signature: ModelSignature
    content_digest: str
    instances: Instances
    batcher: Batcher
    hardware: str = "cpu"
    desk: Desk | None = None
    """Where a conversation is had, for models that answer in text piece by piece."""


def prepare(root: Path, observe: Callable[[int, float], None], allow_cpu: bool = False) -> ReadyModel:
    """All checks, in the order of their price. `observe` is told of model calls once it serves; `allow_cpu`: a GPU
    pack may serve without a GPU.

    Raises `Unfit` with the reason not to serve.
    """
    with ThreadPoolExecutor(1) as pool:
        # hashing and loading are both mostly outside the interpreter lock
        checked = pool.submit(file_manifest.check, root)
        try:
            signature = read_signature(root / MODEL / "serving.json")
            choice = engines.choose(signature, allow_cpu)
            engine = wrap(signature, root / MODEL, engines.load(signature, root / MODEL, choice))
        except Unfit:
            # a changed file explains more than what it then broke
            checked.result()
            raise
        content_digest = checked.result()
    instances = Instances(signature)
    check_golden(signature, instances, engine)
    batcher = Batcher(engine, signature.max_batch, observe)
    desk = Desk(engine, batcher) if isinstance(engine, Conversation) else None
    return ReadyModel(signature, content_digest, instances, batcher, choice.hardware, desk)


def wrap(signature: ModelSignature, folder: Path, engine: Engine) -> Engine:
    """The engine as callers see it: text in, labels out, or a conversation. Raises `Unfit`."""
    if signature.chat is not None:
        return conversation(signature.chat, folder, engine)
    return text.wrap(signature, folder, engine)


def check_golden(signature: ModelSignature, instances: Instances, engine: Engine) -> None:
    """Ask the golden requests, byte for byte as a caller would. Raises `Unfit` with the first differences."""
    for number, item in enumerate(signature.golden):
        try:
            feeds, _ = instances.decode(msgspec.json.encode(item.request))
            got = msgspec.json.decode(sagemaker.predictions(engine.run(feeds)))
        except (Refusal, InvalidInput) as problem:
            raise Unfit(f"golden request {number} was refused: {problem}") from None
        differences = golden.compare(item.answer, got, signature.tolerance)
        if differences:
            raise Unfit(f"golden request {number} was answered wrong: {'; '.join(differences[:3])}")
