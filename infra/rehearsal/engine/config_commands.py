"""`pulumi config ...`: settings in Pulumi.<stack>.yaml, secret ones encrypted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from infra.rehearsal.engine.arguments import BadArguments
from infra.rehearsal.engine.project import Setting, StackConfig
from infra.rehearsal.engine.state import StateError
from infra.rehearsal.engine.workplace import Workplace

Print = Callable[[str], None]


def run(place: Workplace, say: Print) -> None:
    """Dispatch on the word after `config`."""
    verb = place.arguments.words[1] if len(place.arguments.words) > 1 else "ls"
    commands = {"ls": show, "get": get, "set": set_one, "set-all": set_all, "rm": remove, "rm-all": remove}
    if verb not in commands:
        raise BadArguments(f"config {verb} is not available in the embedded engine: use the Pulumi CLI")
    commands[verb](place, say)


def _load(place: Workplace) -> StackConfig:
    files = place.existing()
    return place.salted(files, place.config(files))


def show(place: Workplace, say: Print) -> None:
    """`config [--json] [--show-secrets]`."""
    config = _load(place)
    reveal = place.arguments.has("--show-secrets")
    listed = {key: _describe(place, config, one, reveal) for key, one in sorted(config.settings.items())}
    if place.arguments.has("--json"):
        say(json.dumps(listed))
        return
    for key, entry in listed.items():
        say(f"{key}  {entry.get('value', '[secret]')}")


def _describe(place: Workplace, config: StackConfig, setting: Setting, reveal: bool) -> dict[str, Any]:
    if not setting.secret:
        return {"value": setting.value, "secret": False}
    if not reveal:
        return {"secret": True}
    return {"value": place.vault(config.salt).open(setting.value), "secret": True}


def get(place: Workplace, say: Print) -> None:
    """`config get KEY [--json]`."""
    config = _load(place)
    key = config.key(_word(place, 2))
    if key not in config.settings:
        stack = place.files().stack
        raise StateError(f"configuration key '{key.rpartition(':')[2]}' not found for stack '{stack}'")
    entry = _describe(place, config, config.settings[key], reveal=True)
    say(json.dumps({"name": key, **entry}) if place.arguments.has("--json") else str(entry["value"]))


def set_one(place: Workplace, say: Print) -> None:
    """`config set KEY [--secret] -- VALUE`."""
    _set(place, [(_word(place, 2), _word(place, 3), place.arguments.has("--secret"))])


def set_all(place: Workplace, say: Print) -> None:
    """`config set-all (--plaintext|--secret KEY=VALUE)...` or `--json DOCUMENT`."""
    if place.arguments.has("--json"):
        document = json.loads(_word(place, 2))
        _set(
            place,
            [(key, str(one.get("value", "")), bool(one.get("secret"))) for key, one in document.items()],
        )
    else:
        _set(place, list(_pairs(place.arguments.order[2:])))


def _pairs(order: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    secret = False
    for word in order:
        if word in ("--secret", "--plaintext"):
            secret = word == "--secret"
        elif not word.startswith("--"):
            key, equals, value = word.partition("=")
            if not equals:
                raise BadArguments(f"config set-all takes KEY=VALUE, not {word!r}")
            yield key, value, secret


def _set(place: Workplace, wanted: list[tuple[str, str, bool]]) -> None:
    config = _load(place)
    settings = dict(config.settings)
    for name, value, secret in wanted:
        settings[config.key(name)] = _setting(place, config, settings.get(config.key(name)), value, secret)
    if settings != config.settings:
        replace(config, settings=settings).save()


def _setting(place: Workplace, config: StackConfig, old: Setting | None, value: str, secret: bool) -> Setting:
    """A secret that did not change keeps its ciphertext, so that the file does not change either."""
    if not secret:
        return Setting(value)
    vault = place.vault(config.salt)
    if old is not None and old.secret and vault.open(old.value) == value:
        return old
    return Setting(vault.seal(value), secret=True)


def remove(place: Workplace, say: Print) -> None:
    """`config rm KEY`, `config rm-all KEY...`."""
    config = _load(place)
    gone = {config.key(name) for name in place.arguments.words[2:]}
    replace(config, settings={key: one for key, one in config.settings.items() if key not in gone}).save()


def _word(place: Workplace, position: int) -> str:
    try:
        return place.arguments.words[position]
    except IndexError:
        raise BadArguments("config: a key or a value is missing") from None
