"""The public door: `from ecomdeploy import GpuPool, OwnModel`. Names are loaded when they are first used.

Components are Pulumi ComponentResources and run under the plain Pulumi CLI; the rest is what a plug-in needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.component import Component as Component
    from infra.components.alarms import Alarms as Alarms
    from infra.components.autoscaling import Autoscaling as Autoscaling
    from infra.components.bucket import Bucket as Bucket
    from infra.components.cluster import Cluster as Cluster
    from infra.components.gpu_pool import GpuPool as GpuPool
    from infra.components.keys import EncryptionKey as EncryptionKey
    from infra.components.networking.network import Network as Network
    from infra.components.registry import Registry as Registry
    from infra.components.role import ServiceRole as ServiceRole
    from infra.components.role import execution_role as execution_role
    from infra.spec import AlarmSpec as AlarmSpec
    from infra.spec import GpuPoolSpec as GpuPoolSpec
    from infra.spec import PlatformSpec as PlatformSpec
    from infra.spec import ScaleSpec as ScaleSpec
    from infra.spec import ServeSpec as ServeSpec
    from infra.spec import Window as Window
    from infra.tags import Tags as Tags
    from infra.targets.base import Target as Target
    from infra.targets.base import Traffic as Traffic
    from modelpack.errors import BadInput as BadInput
    from modelpack.errors import CloudRefused as CloudRefused
    from modelpack.errors import EcomdeployError as EcomdeployError
    from modelpack.errors import Locked as Locked
    from modelpack.errors import Unhealthy as Unhealthy
    from modelpack.pack import Pack as Pack
    from modelpack.passes.base import Pass as Pass
    from modelpack.runtimes.base import Runtime as Runtime
    from modelpack.server.signature import Guardrail as Guardrail
    from modelpack.server.signature import Tensor as Tensor
    from modelpack.usecases.base import UseCase as UseCase
    from modelpack.usecases.own_model.model import OwnModel as OwnModel
    from modelpack.usecases.own_model.transform import Transform as Transform

_HOMES = {
    "infra.component": ("Component",),
    "infra.components.alarms": ("Alarms",),
    "infra.components.autoscaling": ("Autoscaling",),
    "infra.components.bucket": ("Bucket",),
    "infra.components.cluster": ("Cluster",),
    "infra.components.gpu_pool": ("GpuPool",),
    "infra.components.keys": ("EncryptionKey",),
    "infra.components.networking.network": ("Network",),
    "infra.components.registry": ("Registry",),
    "infra.components.role": ("ServiceRole", "execution_role"),
    "infra.tags": ("Tags",),
    "infra.spec": ("AlarmSpec", "GpuPoolSpec", "PlatformSpec", "ScaleSpec", "ServeSpec", "Window"),
    "infra.targets.base": ("Target", "Traffic"),
    "modelpack.errors": ("BadInput", "CloudRefused", "EcomdeployError", "Locked", "Unhealthy"),
    "modelpack.usecases.own_model.model": ("OwnModel",),
    "modelpack.usecases.own_model.transform": ("Transform",),
    "modelpack.pack": ("Pack",),
    "modelpack.passes.base": ("Pass",),
    "modelpack.runtimes.base": ("Runtime",),
    "modelpack.server.signature": ("Guardrail", "Tensor"),
    "modelpack.usecases.base": ("UseCase",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ecomdeploy' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__]
