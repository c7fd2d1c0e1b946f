"""The project's ecomdeploy.yaml, if there is one."""

from __future__ import annotations

from cli.checks.base import CheckContext, Finding
from modelpack.errors import BadInput


def check(context: CheckContext) -> Finding:
    from cli.wiring import load_spec

    file = context.folder / "ecomdeploy.yaml"
    if not file.exists():
        return Finding("spec", "ok", f"no {file}: `ecomdeploy init recommendation shop` writes one")
    try:
        load_spec(context.folder, "local")
    except BadInput as error:
        return Finding("spec", "failure", str(error), "mend the lines above")
    return Finding("spec", "ok", f"{file} is valid")
