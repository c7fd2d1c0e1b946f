"""From a provider's configuration to a client: `kubeconfig` (a path, or the text itself), `context`, `namespace`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.kubeconfig import find_kubeconfig
from infra.rehearsal.engine.provider import ProviderError
from modelpack.errors import BadInput

TAKEN: Final = frozenset(
    {
        *("kubeconfig", "context", "namespace", "enableServerSideApply", "enableConfigMapMutable"),
        *("enableSecretMutable", "suppressDeprecationWarnings", "suppressHelmHookWarnings"),
    }
)


@dataclass(frozen=True)
class ClusterConnection:
    """A client of one cluster, and how this provider uses it. `namespace` is where what names none goes."""

    client: KubernetesClient
    namespace: str
    config_maps_change: bool = False
    secrets_change: bool = False


def connect(inputs: Mapping[str, Any], environment: Mapping[str, str]) -> ClusterConnection:
    """Nothing is asked of the cluster yet.

    Raises:
        ProviderError: the configuration is not understood, or there is no kubeconfig.
    """
    unknown = sorted(
        key
        for key, value in inputs.items()
        if key not in TAKEN and value is not None and not key.startswith("__")
    )
    if unknown:
        raise ProviderError(
            "UnknownConfiguration",
            f"kubernetes provider: the embedded engine does not know {', '.join(unknown)}: use the Pulumi CLI",
        )
    if inputs.get("enableServerSideApply") is False:
        raise ProviderError(
            "UnknownConfiguration",
            "kubernetes provider: the embedded engine works by server-side apply only: use the Pulumi CLI",
        )
    client = _open(inputs.get("kubeconfig") or "", str(inputs.get("context") or ""), environment)
    return ClusterConnection(
        client=client,
        namespace=str(inputs.get("namespace") or client.namespace),
        config_maps_change=inputs.get("enableConfigMapMutable") is True,
        secrets_change=inputs.get("enableSecretMutable") is True,
    )


def _open(given: Any, context: str, environment: Mapping[str, str]) -> KubernetesClient:
    try:
        text = json.dumps(given) if isinstance(given, dict) else str(given)
        if text.lstrip().startswith("{") or "\n" in text.strip():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "kubeconfig"
                path.touch(mode=0o600)
                path.write_text(text)
                return KubernetesClient(path, context, environment)
        file = Path(text).expanduser() if text else _find(environment, context)
        return KubernetesClient(file, context, environment)
    except BadInput as refused:
        raise ProviderError("BadKubeconfig", f"{refused}; {refused.hint}") from refused


def _find(environment: Mapping[str, str], context: str) -> Path:
    """The environment's kubeconfig. Raises ProviderError without one."""
    try:
        return find_kubeconfig(environment, context)
    except BadInput as missing:
        raise ProviderError(
            "NoKubeconfig", f"{missing}: set KUBECONFIG, or the provider's kubeconfig"
        ) from missing
