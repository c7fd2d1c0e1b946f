"""The local Kubernetes' binaries. Only `serve.target: kserve` on the local cloud needs them."""

from __future__ import annotations

from cli.checks.base import CheckContext, Finding
from cli.local import where_keda, where_kubernetes

NAME = "kubernetes"


def check(context: CheckContext) -> Finding:
    found = where_kubernetes(context.home.cache)
    if found:
        scaler = where_keda(context.home.cache)
        return Finding(NAME, "ok", f"the local Kubernetes has its binaries ({found}), and {scaler}")
    words = "no binaries of a control plane: only `serve.target: kserve` on the local cloud needs them"
    return Finding(NAME, "ok", words, "ecomdeploy cloud kubernetes install")
