"""What a check of a cluster is: one file of this package with a `check` function. A new one needs no edit elsewhere."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass

from infra.hosts import Hosts
from infra.instances import Instance
from infra.kubernetes.base import KubernetesApi
from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable
from infra.spec import ClusterSpec
from modelpack.errors import EcomdeployError


@dataclass(frozen=True, kw_only=True)
class ClusterNeeds:
    """What a service is about to ask of a cluster. `replicas`: pods to begin with; `secrets`: whether it has values
    of its own to keep; `proxied`: whether it is asked by the API server's proxy; `watched`: whether its releases
    bake; `scaled`: whether it scales by requests or by a schedule, and `counted` by requests."""

    context: str
    namespace: str
    endpoint: str
    cluster: ClusterSpec
    hosts: Hosts
    instance: str
    replicas: int = 1
    secrets: bool = False
    proxied: bool = True
    watched: bool = False
    scaled: bool = False
    counted: bool = False

    @property
    def machine(self) -> Instance:
        return self.hosts.instance(self.instance)

    @property
    def kubectl(self) -> str:
        return f"kubectl --context {self.context}"


@dataclass(frozen=True, kw_only=True)
class Lack:
    """`what` is not there, `hint` is what to type or read. `stops`: nothing can be shipped; else it is worth
    knowing."""

    what: str
    hint: str
    stops: bool = True


@dataclass(frozen=True)
class Looked:
    """What one check found: its file's name, and the lacks; none: all is well."""

    name: str
    lacks: tuple[Lack, ...] = ()


def examine(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Looked]:
    """All checks, by file name. Where no API server answers, or it knows nobody, that is all there is to say."""
    import infra.preflight as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        if module.name == "base":
            continue
        check = importlib.import_module(f"infra.preflight.{module.name}").check
        try:
            yield Looked(module.name, tuple(check(api, needs)))
        except KubernetesRefused as refused:
            blind = refused.status == 401
            hint = "log in again" if blind else "ask for the right to look, or go on without"
            yield Looked(module.name, (Lack(what=f"not looked at: {refused}", hint=hint, stops=blind),))
            if blind:
                return
        except EcomdeployError as error:
            hint = error.hint or f"{needs.kubectl} version"
            yield Looked(module.name, (Lack(what=str(error), hint=hint),))
            if isinstance(error, KubernetesUnreachable) or module.name == "api_server":
                return
