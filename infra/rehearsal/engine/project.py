"""Pulumi.yaml and Pulumi.<stack>.yaml: the project, and one stack's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.rehearsal.engine.crypt import Vault
from infra.rehearsal.engine.state import StateError, write_atomically

EXTENSIONS = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Project:
    """`root` holds Pulumi.yaml; `folder` and `entry` are the program."""

    name: str
    root: Path
    folder: Path
    entry: str = "__main__.py"
    options: Mapping[str, Any] = field(default_factory=dict)
    backend: str = ""
    config_folder: Path | None = None


@dataclass(frozen=True)
class Setting:
    """One configuration value; of a secret one the ciphertext."""

    value: str
    secret: bool = False


def find_project(start: Path) -> Project:
    """The project that `start` is in, as the CLI looks for it: upwards."""
    for root in (start, *start.parents):
        for extension in EXTENSIONS:
            path = root / f"Pulumi{extension}"
            if path.is_file():
                return _project(path)
    raise StateError(f"no Pulumi.yaml project file found (searching upwards from {start})")


def _project(path: Path) -> Project:
    document = _read(path)
    if not isinstance(document, dict) or not document.get("name"):
        raise StateError(f"{path}: a project needs a name")
    runtime = document.get("runtime", "python")
    name, options = (
        (runtime.get("name"), runtime.get("options") or {}) if isinstance(runtime, dict) else (runtime, {})
    )
    if name != "python":
        raise StateError(
            f"{path}: runtime {name} is not available in the embedded engine: use the Pulumi CLI"
        )
    main = path.parent / str(document.get("main") or ".")
    folder, entry = (main.parent, main.name) if main.is_file() else (main, "__main__.py")
    stacks = document.get("stackConfigDir")
    return Project(
        name=str(document["name"]),
        root=path.parent,
        folder=folder.resolve(),
        entry=entry,
        options=options,
        backend=str((document.get("backend") or {}).get("url") or ""),
        config_folder=path.parent / stacks if stacks else None,
    )


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StateError(f"{path}: {error}") from error


@dataclass(frozen=True)
class StackConfig:
    """The settings of one stack, in a file beside Pulumi.yaml."""

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
        return {key: vault.open(one.value) if one.secret else one.value for key, one in self.settings.items()}

    def secret_keys(self) -> list[str]:
        """The keys whose values are secret."""
        return [key for key, one in self.settings.items() if one.secret]

    def save(self) -> None:
        """Write the file back; what other tools keep in it stays."""
        document: dict[str, Any] = {"encryptionsalt": self.salt} if self.salt else {}
        document |= self.rest
        if self.settings:
            document["config"] = {
                key: {"secure": one.value} if one.secret else one.value
                for key, one in sorted(self.settings.items())
            }
        if self.path.suffix == ".json":
            write_atomically(self.path, json.dumps(document, indent=4))
            return
        import yaml

        write_atomically(self.path, yaml.safe_dump(document, sort_keys=False) if document else "")


def config_path(project: Project, stack: str, given: str | None) -> Path:
    """Where a stack's settings are: `--config-file`, the file that exists, or the one to make."""
    if given:
        return Path(given)
    folder = project.config_folder or project.root
    for extension in EXTENSIONS:
        path = folder / f"Pulumi.{stack}{extension}"
        if path.exists():
            return path
    return folder / f"Pulumi.{stack}.yaml"


def load_config(project: Project, stack: str, given: str | None = None) -> StackConfig:
    """The stack's settings; empty where there is no file."""
    path = config_path(project, stack, given)
    document = (_read(path) or {}) if path.exists() else {}
    settings = {}
    for name, value in (document.get("config") or {}).items():
        key = name if ":" in name else f"{project.name}:{name}"
        if isinstance(value, dict) and set(value) == {"secure"}:
            settings[key] = Setting(str(value["secure"]), secret=True)
        else:
            settings[key] = Setting(_text(value))
    provider = document.get("secretsprovider", "passphrase")
    if provider not in ("passphrase", "default", ""):
        raise StateError(
            f"{path}: secrets provider {provider} is not in the embedded engine: use the Pulumi CLI"
        )
    rest = {key: value for key, value in document.items() if key not in ("config", "encryptionsalt")}
    return StackConfig(path, project.name, settings, str(document.get("encryptionsalt") or ""), rest)


def _text(value: Any) -> str:
    """YAML's values as the strings that Pulumi passes on."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
