"""What a command works on: environment, project, backend, stack, passphrase."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlparse

from infra.rehearsal.engine.commands.arguments import Arguments
from infra.rehearsal.engine.errors import EngineError
from infra.rehearsal.engine.state.checkpoint import StackFiles
from infra.rehearsal.engine.state.crypt import Keyring, Vault
from infra.rehearsal.engine.state.project import Project, StackConfig, find_project, load_config

STACK_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class Workplace:
    """One command's surroundings. Everything raises `EngineError` in the CLI's words."""

    folder: Path
    environment: Mapping[str, str]
    arguments: Arguments
    keyring: Keyring

    @property
    def project(self) -> Project:
        """The project that the folder is in."""
        return find_project(self.folder)

    @property
    def root(self) -> Path:
        """The folder of a file:// backend."""
        url = self.environment.get("PULUMI_BACKEND_URL", "")
        parsed = urlparse(url)
        if parsed.scheme != "file":
            raise EngineError(
                f"backend {url or '(none)'}: the embedded engine keeps state in files; "
                "set PULUMI_BACKEND_URL=file:///FOLDER"
            )
        return Path(unquote(parsed.netloc + parsed.path)).expanduser()

    def files(self, stack: str | None = None) -> StackFiles:
        """The named stack, else --stack. It need not exist."""
        project, named = self.project, stack or self.arguments.flags.get("--stack")
        if named is None:
            raise EngineError("no stack selected; name one with --stack")
        name = named.removeprefix(f"organization/{project.name}/")
        if not STACK_NAME.fullmatch(name):
            raise EngineError(f"{named!r} is no stack name: letters, digits, hyphens, underscores, periods")
        return StackFiles(self.root, project.name, name)

    def find_stack(self, stack: str | None = None) -> StackFiles:
        """Like `files`, for a stack that must exist."""
        files = self.files(stack)
        if not files.exists():
            raise EngineError(f"no stack named '{files.stack}' found")
        return files

    def config(self, files: StackFiles) -> StackConfig:
        """The stack's settings, with a salt: their own, else the state's."""
        config = load_config(self.project, files.stack)
        return replace(config, salt=files.salt()) if files.exists() and not config.salt else config

    def vault(self, salt: str) -> Vault:
        """The vault of a salt; of a new one where there is none yet."""
        passphrase = self.environment.get("PULUMI_CONFIG_PASSPHRASE")
        file = self.environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
        if passphrase is None and file:
            passphrase = Path(file).read_text().strip()
        if passphrase is None:
            raise EngineError(
                "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE "
                "environment variables"
            )
        return Vault(self.keyring, passphrase, salt or self.keyring.fresh_salt(passphrase))

    def state_vault(self, files: StackFiles) -> Vault:
        """The vault of the secrets in the state."""
        return self.vault(files.salt() or self.config(files).salt)
