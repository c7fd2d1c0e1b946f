"""`pulumi.automation.PulumiCommand` answered in this process: the unmodified Automation API drives the embedded engine.

    command = EmbeddedPulumiCommand(providers)
    LocalWorkspaceOptions(pulumi_command=command, env_vars={"PULUMI_BACKEND_URL": "file:///...", "PULUMI_CONFIG_PASSPHRASE": "..."})
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from pulumi.automation import CommandResult, PulumiCommand
from pulumi.automation._cmd import OnOutput
from semver import VersionInfo

from infra.rehearsal.engine.provider import ProviderFactory

VERSION = VersionInfo(3, 272, 0)


class EmbeddedPulumiCommand(PulumiCommand):
    """Stands in for the `pulumi` binary.

    `providers(package, inputs, environment)` makes one provider per provider resource; the engine calls
    `configure(inputs)` on it. `environment` is what the process would have seen (default: `os.environ`);
    the workspace's `env_vars` go on top. `parallel` bounds concurrent provider calls.
    """

    def __init__(
        self, providers: ProviderFactory, *, environment: Mapping[str, str] | None = None, parallel: int = 16
    ) -> None:
        self.command = "pulumi (embedded engine)"
        self.version = VERSION
        self.providers = providers
        self.environment = dict(os.environ if environment is None else environment)
        self.parallel = parallel

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Run one `pulumi` command line; raises `pulumi.automation.CommandError` or the class that fits."""
        raise NotImplementedError("being built")
