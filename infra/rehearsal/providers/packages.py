"""The engine's provider factory: the package's name says which. A package that no program names is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from infra.rehearsal.engine.provider import Provider, ProviderError

if TYPE_CHECKING:
    from infra.rehearsal.providers.aws.provider import AwsProviders


class PackageProviders:
    """A `ProviderFactory` for "aws" and "kubernetes". `loader`: another botocore session's, which has read some of the
    services' models already, or None."""

    def __init__(self, loader: Any = None) -> None:
        self._loader = loader

    def __call__(
        self, package: str, configuration: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Provider:
        """A provider not yet configured. Raises `ProviderError` for another package."""
        if package == "aws":
            return self._aws(package, configuration, environment)
        if package == "kubernetes":
            from infra.rehearsal.providers.kubernetes.provider import KubernetesProvider

            return KubernetesProvider(environment)
        raise ProviderError(
            "UnknownPackage", f'the embedded engine has no provider "{package}": use the Pulumi CLI'
        )

    @cached_property
    def _aws(self) -> AwsProviders:
        from infra.rehearsal.providers.aws.clients import Sessions
        from infra.rehearsal.providers.aws.provider import AwsProviders

        return AwsProviders(Sessions(self._loader))
