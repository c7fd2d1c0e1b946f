"""What a command works on: environment, project, backend, stack, passphrase."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlparse

from infra.rehearsal.engine.arguments import Arguments
from infra.rehearsal.engine.crypt import Keyring, Vault
from infra.rehearsal.engine.project import Project, StackConfig, find_project, load_config
from infra.rehearsal.engine.state import StackFiles, StateError

STACK_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class Workplace:
    """One command's surroundings. Properties raise `StateError` in the CLI's words."""

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
        url = self.environment.get("PULUMI_BACKEND_URL") or self._project_backend()
        parsed = urlparse(url)
        if parsed.scheme != "file":
            raise StateError(
                f"backend {url or '(none)'}: the embedded engine keeps state in files; "
                "set PULUMI_BACKEND_URL=file:///FOLDER"
            )
        return Path(unquote(parsed.netloc + parsed.path)).expanduser()

    def _project_backend(self) -> str:
        try:
            return self.project.backend
        except StateError:
            return ""

    def files(self, stack: str | None = None) -> StackFiles:
        """The named stack, else --stack, else the selected one. It need not exist."""
        project = self.project
        named = stack or self.arguments.value("--stack")
        if named is None:
            selected = StackFiles(self.root, project.name, "").selected
            if not selected.exists():
                raise StateError("no stack selected; please use `pulumi stack select` to choose one")
            named = selected.read_text().strip()
        parts = named.split("/")
        if len(parts) == 3 and parts[1] != project.name:
            raise StateError(f"stack {named} belongs to project {parts[1]}, this is {project.name}")
        if len(parts) == 2 or not STACK_NAME.fullmatch(parts[-1]):
            raise StateError(f"{named!r} is no stack name: letters, digits, hyphens, underscores, periods")
        return StackFiles(self.root, project.name, parts[-1])

    def existing(self, stack: str | None = None) -> StackFiles:
        """Like `files`, for a stack that must exist."""
        files = self.files(stack)
        if not files.exists():
            raise StateError(f"no stack named '{files.stack}' found")
        return files

    def config(self, files: StackFiles) -> StackConfig:
        """The stack's settings."""
        return load_config(self.project, files.stack, self.arguments.value("--config-file"))

    def passphrase(self) -> str:
        """Raises `StateError` where none is set; an empty one counts as set."""
        given = self.environment.get("PULUMI_CONFIG_PASSPHRASE")
        if given is not None:
            return given
        path = self.environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
        if path:
            try:
                return Path(path).read_text().strip()
            except OSError as error:
                raise StateError(f"PULUMI_CONFIG_PASSPHRASE_FILE: {error}") from error
        raise StateError(
            "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE "
            "environment variables"
        )

    def vault(self, salt: str) -> Vault:
        """The vault of a salt; of a new one where there is none yet."""
        passphrase = self.passphrase()
        return Vault(self.keyring, passphrase, salt or self.keyring.fresh_salt(passphrase))

    def state_vault(self, files: StackFiles) -> Vault:
        """The vault of the secrets in the state."""
        return self.vault(files.salt() or self.config(files).salt)

    def salted(self, files: StackFiles, config: StackConfig) -> StackConfig:
        """The configuration with a salt: its own, else the state's."""
        return config if config.salt else replace(config, salt=files.salt())
