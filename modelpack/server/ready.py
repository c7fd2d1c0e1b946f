"""From files to a server that may say it is ready: files checked, model loaded, golden requests right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from modelpack.server import file_manifest, golden, rows, text, transform
from modelpack.server.engines import load as engines
from modelpack.server.engines.base import Engine, InvalidInput
from modelpack.server.guardrails import GuardedEngine, Guardrails
from modelpack.server.handler import RequestHandler, Respond, load_handler
from modelpack.server.hashing import HashedFiles
from modelpack.server.http import sagemaker
from modelpack.server.http.batch import Batcher
from modelpack.server.http.instances import Instances
from modelpack.server.http.limits import Limits
from modelpack.server.http.metrics import Metrics
from modelpack.server.http.openinference import OpenInference
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import ModelSignature, Unfit, read_signature

MODEL = "opt/ecomdeploy/model"


@dataclass(frozen=True)
class ReadyModel:
    """A model that has proved itself."""

    signature: ModelSignature
    content_digest: str
    instances: Instances
    bodies: OpenInference
    batcher: Batcher
    hardware: str = "cpu"
    respond: Respond | None = None
    """What answers `/invocations` in the use case's own way; None: as `http/sagemaker.py` does."""
    guardrails: Guardrails | None = None
    """What counts answers that are on the wrong side; None: nothing does."""


def prepare(
    root: Path,
    metrics: Metrics,
    allow_cpu: bool = False,
    limits: Limits | None = None,
    hashed: HashedFiles | None = None,
) -> ReadyModel:
    """All checks, in the order of their price. `metrics` are told of model calls once it serves; `allow_cpu`: a GPU
    pack may serve without a GPU; `hashed`: files that are being hashed already.

    Raises `Unfit` with the reason not to serve.
    """
    with ThreadPoolExecutor(1) as pool:
        # it waits for other processes, mostly
        checked = pool.submit(file_manifest.check, root, hashed)
        try:
            signature = read_signature(root / MODEL / "serving.json")
            choice = engines.choose(signature, allow_cpu)
            engine = wrap(signature, root / MODEL, engines.load(signature, root / MODEL, choice))
        except Unfit:
            # a changed file explains more than what it then broke
            checked.result()
            raise
        content_digest = checked.result()
    instances = Instances(signature.inputs, extra=signature.extra_fields)
    check_golden(signature, instances, engine)
    check_rows(signature, instances, engine)
    limits = limits or Limits()
    return serve_engine(engine, signature, content_digest, metrics, limits, choice.hardware)


def serve_engine(
    engine: Engine,
    signature: ModelSignature,
    content_digest: str,
    metrics: Metrics,
    limits: Limits,
    hardware: str = "cpu",
) -> ReadyModel:
    """An engine behind its queue and the decoders of both protocols."""
    guardrails = Guardrails(signature.guardrails, metrics) if signature.guardrails else None
    handler = engine if isinstance(engine, RequestHandler) else None
    guarded = GuardedEngine(engine, guardrails) if guardrails and not handler else engine
    batcher = Batcher(guarded, signature.max_batch, metrics.model_call, limits.waiting, limits.seconds)
    respond = handler.responder(batcher, metrics, guardrails) if handler else None
    return ReadyModel(
        signature,
        content_digest,
        Instances(signature.inputs, limits, signature.extra_fields),
        OpenInference(signature, limits),
        batcher,
        hardware,
        respond,
        guardrails,
    )


def wrap(signature: ModelSignature, folder: Path, engine: Engine) -> Engine:
    """The engine as callers see it: text in, labels out, the user's own code around it, or with the use case's handler.
    Raises `Unfit`."""
    if signature.handler is not None:
        return load_handler(signature.handler, folder, engine)
    return transform.wrap(signature, folder, text.wrap(signature, folder, engine))


def check_golden(signature: ModelSignature, instances: Instances, engine: Engine) -> None:
    """Ask the golden requests, byte for byte as a caller would. Raises `Unfit` with the first differences."""
    for number, item in enumerate(signature.golden):
        try:
            feeds, _ = instances.decode(msgspec.json.encode(item.request))
            got = msgspec.json.decode(
                sagemaker.predictions(rows.in_cuts(engine.run, feeds, signature.max_batch))
            )
        except (Refusal, InvalidInput) as problem:
            raise Unfit(f"golden request {number} was refused: {problem}") from None
        differences = golden.compare(item.answer, got, signature.tolerance)
        if differences:
            raise Unfit(f"golden request {number} was answered wrong: {'; '.join(differences[:3])}")


def check_rows(signature: ModelSignature, instances: Instances, engine: Engine) -> None:
    """Ask the rows of golden requests alone and in company. Raises `Unfit` when an answer depends on its company."""
    if signature.max_batch < 2 or not signature.golden:
        return
    asked = [row for item in signature.golden for row in item.request["instances"]][: rows.PROBES]
    feeds, _ = instances.decode(msgspec.json.encode({"instances": asked}))
    if company := rows.dependence(engine.run, feeds, signature.max_batch, signature.tolerance):
        raise Unfit(f"an answer depends on the requests that share the call: {company}")
