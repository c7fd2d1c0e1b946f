"""The local Kubernetes' binaries. Only `serve.target: kserve` on the local cloud needs them."""

from __future__ import annotations

from cli.checks.base import CheckContext, Finding
from cli.local import tell_addons, tell_failed_addons, where_kubernetes

NAME = "kubernetes"
STATUS = "ecomdeploy cloud kubernetes status"


def check(context: CheckContext) -> Finding:
    found = where_kubernetes(context.home.cache)
    if found:
        if failed := tell_failed_addons():
            return Finding(NAME, "warning", f"the local Kubernetes runs without {failed}", STATUS)
        told = "; ".join(tell_addons(context.home.cache))
        return Finding(NAME, "ok", f"the local Kubernetes has its binaries ({found}); {told}")
    words = "no binaries of a control plane: only `serve.target: kserve` on the local cloud needs them"
    return Finding(NAME, "ok", words, "ecomdeploy cloud kubernetes install")
