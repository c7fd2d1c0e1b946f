"""What goes into the image beside base and wheels: the server, the model, `serving.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from modelpack.assembly.needs import Binding
from modelpack.formats.variant import Variant
from modelpack.inputs.environment import ServingEnvironment
from modelpack.language.task import decoding_of
from modelpack.pack import encode
from modelpack.server.golden import Golden
from modelpack.usecases.base import UseCase
from modelpack.usecases.optional.serving import guardrails_of, handler_of, interface_of, labels_of, text_of
from modelpack.usecases.optional.transform import transform_file_of

THREADS = 1


def model(
    variant: Variant, serving: dict[str, Any], companions: Mapping[str, bytes]
) -> dict[str, Path | bytes]:
    """The model's files, those beside it, and what the server needs to know of them."""
    return {**variant.files, **companions, "serving.json": encode(serving)}


def serving(
    served: ServingEnvironment, variant: Variant, golden: tuple[Golden, ...], binding: Binding
) -> dict[str, Any]:
    """`serving.json` (docs/architecture/rooms/server.md)."""
    usecase = served.usecase
    signature = interface_of(usecase)
    offered = {
        "text": text_of(usecase),
        "decoding": decoding_of(usecase),
        "handler": handler_of(usecase),
        "labels": labels_of(usecase),
        "transform": transform_file_of(usecase),
        "guardrails": guardrails_of(usecase),
    }
    return {
        "format": 1,
        "model": served_name(usecase.name),
        "runtime": served.runtime.name,
        "file": variant.path.name,
        "threads": THREADS,
        "inputs": to_builtins(signature.inputs),
        "outputs": to_builtins(signature.outputs),
        "max_batch": usecase.max_batch,
        "golden": [{"request": one.request, "answer": one.answer} for one in golden],
        "tolerance": usecase.tolerance,
        "needs": binding.as_data(),
        "session": variant.session,
        **{name: to_builtins(part) for name, part in offered.items() if part},
    }


def served_name(usecase: str) -> str:
    """The model's name in URLs."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in usecase)


def labels(usecase: UseCase[Any], variant: Variant, binding: Binding) -> dict[str, str]:
    """What the image says about itself, in the words of the CNCF model-spec."""
    return {
        "org.opencontainers.image.title": f"ecomdeploy {usecase.name}",
        "org.cncf.model.family": usecase.name,
        "org.cncf.model.format": variant.format,
        "dev.ecomdeploy.passes": ",".join(variant.passes),
        **binding.labels(),
    }
