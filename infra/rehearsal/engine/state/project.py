"""Pulumi.yaml and Pulumi.<stack>.yaml: the project, and one stack's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra.rehearsal.engine.errors import EngineError, Unsupported
from infra.rehearsal.engine.state.crypt import Vault
from modelpack.home import write_atomically

BEYOND = ("backend", "stackConfigDir")
"""Settings of a project that would lead elsewhere."""


@dataclass(frozen=True)
class Project:
    """`root` holds Pulumi.yaml; `folder` is the program's."""

    name: str
    root: Path
    folder: Path


@dataclass(frozen=True)
class Setting:
    """One configuration value; of a secret one the ciphertext."""

    value: str
    secret: bool = False


def find_project(start: Path) -> Project:
    """The project that `start` is in, as the CLI looks for it: upwards. Raises `EngineError`."""
    for root in (start, *start.parents):
        path = root / "Pulumi.yaml"
        if path.is_file():
            return _project(path)
    raise EngineError(f"no Pulumi.yaml project file found (searching upwards from {start})")


def _project(path: Path) -> Project:
    document = _read(path)
    if not document.get("name"):
        raise EngineError(f"{path}: a project needs a name")
    runtime = document.get("runtime", "python")
    if isinstance(runtime, dict):
        if runtime.get("options"):
            raise Unsupported(f"{path}: runtime options")
        runtime = runtime.get("name")
    if runtime != "python":
        raise Unsupported(f"{path}: runtime {runtime}")
    for key in BEYOND:
        if document.get(key):
            raise Unsupported(f"{path}: {key}")
    folder = path.parent / str(document.get("main") or ".")
    return Project(str(document["name"]), path.parent, folder.resolve())


def _parse(text: str) -> Any:
    """By libyaml, which takes a tenth of the time: an `up` reads these files twenty times."""
    return yaml.load(text, yaml.CSafeLoader) if yaml.__with_libyaml__ else yaml.safe_load(text)


def _read(path: Path) -> dict[str, Any]:
    """A YAML map; empty where there is no file."""
    try:
        document = _parse(path.read_text(encoding="utf-8")) if path.exists() else {}
    except yaml.YAMLError as error:
        raise EngineError(f"{path}: {error}") from error
    if not isinstance(document, dict | None):
        raise EngineError(f"{path} is no map of settings")
    return document or {}


@dataclass(frozen=True)
class StackConfig:
    """The settings of one stack, in a file beside Pulumi.yaml. `rest` is what other tools keep in it."""

    path: Path
    project: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    salt: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """A key without a namespace is the project's."""
        return name if ":" in name else f"{self.project}:{name}"

    def plain(self, vault: Vault) -> dict[str, str]:
        """Every value in the clear."""
        return {
            key: vault.decrypt(one.value) if one.secret else one.value for key, one in self.settings.items()
        }

    def secret_keys(self) -> list[str]:
        """The keys whose values are secret."""
        return [key for key, one in self.settings.items() if one.secret]

    def save(self) -> None:
        """Write the file back."""
        document: dict[str, Any] = {"encryptionsalt": self.salt} if self.salt else {}
        document |= self.rest
        if self.settings:
            document["config"] = {
                key: {"secure": one.value} if one.secret else one.value
                for key, one in sorted(self.settings.items())
            }
        text = yaml.safe_dump(document, sort_keys=False) if document else ""
        write_atomically(self.path, text.encode())


def load_config(project: Project, stack: str) -> StackConfig:
    """The stack's settings; empty where there is no file."""
    path = project.root / f"Pulumi.{stack}.yaml"
    document = _read(path)
    empty = StackConfig(path, project.name)
    settings = {empty.key(name): _setting(value) for name, value in (document.get("config") or {}).items()}
    provider = document.get("secretsprovider", "passphrase")
    if provider not in ("passphrase", "default", ""):
        raise Unsupported(f"{path}: the secrets provider {provider}")
    rest = {key: value for key, value in document.items() if key not in ("config", "encryptionsalt")}
    return StackConfig(path, project.name, settings, str(document.get("encryptionsalt") or ""), rest)


def _setting(value: Any) -> Setting:
    """YAML's values as the strings that Pulumi passes on."""
    if isinstance(value, dict) and set(value) == {"secure"}:
        return Setting(str(value["secure"]), secret=True)
    return Setting(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))
