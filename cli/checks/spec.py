"""The project's ecomdeploy.yaml, if there is one."""

from __future__ import annotations

from cli.checks.base import Finding, Patient
from modelpack.errors import BadInput


def check(patient: Patient) -> Finding:
    from cli.wiring import load_spec

    file = patient.folder / "ecomdeploy.yaml"
    if not file.exists():
        return Finding("spec", "ok", f"no {file}: `ecomdeploy init recommendation shop` writes one")
    try:
        load_spec(patient.folder, "local")
    except BadInput as error:
        return Finding("spec", "failure", str(error), "mend the lines above")
    return Finding("spec", "ok", f"{file} is valid")
