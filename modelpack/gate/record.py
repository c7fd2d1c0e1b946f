"""The record: what was measured, on what, against what, and where everything came from. Attached to the image."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from modelpack.gate.cost import add_prices
from modelpack.gate.figures import OWN_ROWS
from modelpack.inputs.lock import MADE
from modelpack.inputs.resolve import Inputs
from modelpack.usecases.optional.own_tables import own_data_of

TRAINED = "trained here"
SAMPLES_IN_IMAGE = (
    "the shop's own data, read on the machine that packed; a few of its requests are in the image, as those that it "
    "must answer alike before it serves, and a few with their truths beside it for `predict`"
)


def complete(
    inputs: Inputs, measured: Mapping[str, Any], model_sha256: str, more: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole record: the measured half with data and provenance, and `more` of the image."""
    whole = {**complete_record(inputs, measured, model_sha256), **more}
    place = (more.get("lineage") or {}).get("place", {})
    if job := place.get("job"):
        whole["provenance"] = {**whole["provenance"], "model_from": f"trained by {place['on']}'s job {job}"}
    return add_prices(whole, inputs.request.instance, inputs.request.usd_hour)


def find_tuning(inputs: Inputs, measured: Mapping[str, Any]) -> dict[str, Any]:
    """CPU instruction sets of which one is needed for the gain that was measured; nothing where none is."""
    named = {flag for one in inputs.passes if one.name in measured["kept"] for flag in one.instructions}
    return {"tuned_for": sorted(named)} if named else {}


def complete_record(inputs: Inputs, measured: Mapping[str, Any], model_sha256: str) -> dict[str, Any]:
    """The measured half with data and provenance."""
    usecase = inputs.usecase
    return {
        "usecase": usecase.name,
        "runtime": inputs.find_environment(measured["format"]).runtime.name,
        **find_tuning(inputs, measured),
        **{key: value for key, value in measured.items() if key not in ("kept", "model", MADE, OWN_ROWS)},
        "data": [
            *own_data(inputs, measured.get(OWN_ROWS, {})),
            *(
                {
                    "package": f"{package.name}=={package.version}",
                    "sha256": package.sha256,
                    "licence": package.licence,
                    "statement": package.statement,
                    "url": package.url,
                }
                for package in inputs.packages
            ),
        ],
        "split": inputs.split,
        "provenance": {
            "ecomdeploy": own_version(),
            "model": f"sha256:{model_sha256}",
            "model_from": inputs.model_path.name if inputs.model_path else TRAINED,
            "training": {"epochs": inputs.train.epochs, "seed": inputs.train.seed},
            "inputs": inputs.verdict_digest,
            "passes": {one.name: one.about for one in inputs.passes},
            "tools": inputs.libraries,
        },
    }


def own_data(inputs: Inputs, read: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the record says of the user's own data: its path, digest and size, what of it could not be
    read, whose clock its times are by, and nothing in it."""
    if inputs.request.data is None:
        return []
    tables = own_data_of(inputs.usecase)
    return [
        {
            "path": inputs.request.data.place,
            "sha256": inputs.data_digest,
            "rows": {},
            **read,
            "licence": "the shop's own",
            "statement": tables.statement if tables else SAMPLES_IN_IMAGE,
        }
    ]


def own_version() -> str:
    """Our version; "source" in a checkout that is not installed."""
    try:
        return version("ecomdeploy")
    except ModuleNotFoundError:
        return "source"
