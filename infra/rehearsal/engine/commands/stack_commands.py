"""`pulumi stack ...`, `config set` and `cancel`: what the driver asks for without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from infra.rehearsal.engine.commands.workplace import Workplace
from infra.rehearsal.engine.errors import EngineError, Unsupported
from infra.rehearsal.engine.resource import STACK_TYPE, snapshot_from_json
from infra.rehearsal.engine.state import lock
from infra.rehearsal.engine.state.project import Setting
from infra.rehearsal.engine.values import BLINDED, Secret, blind, strip

Print = Callable[[str], None]


def initialise(place: Workplace, say: Print) -> None:
    """`stack init NAME`: an empty state whose secrets go under the passphrase."""
    provider = place.arguments.flags.get("--secrets-provider") or "passphrase"
    if provider not in ("passphrase", "default"):
        raise Unsupported(f"the secrets provider {provider}")
    files = place.files(place.arguments.word(2))
    if files.exists():
        raise EngineError(f"stack '{files.stack}' already exists")
    config = place.config(files)
    vault = place.vault(config.salt)
    files.initialise(vault)
    if not config.salt:
        replace(config, salt=vault.salt_text).save()
    say(f"Created stack '{files.stack}'")


def select(place: Workplace, say: Print) -> None:
    """`stack select --stack NAME`: only says whether it exists, since every command names its stack."""
    place.find_stack()


def remove(place: Workplace, say: Print) -> None:
    """`stack rm NAME`: refuses while it holds resources."""
    files = place.find_stack(place.arguments.word(2))
    with lock.hold(files):
        latest = files.latest()
        if latest.get("resources") or latest.get("pending_operations"):
            raise EngineError(f"'{files.stack}' still has resources; removal rejected. Destroy it first")
        place.config(files).path.unlink(missing_ok=True)
        files.remove()
    say(f"Stack '{files.stack}' has been removed!")


def output(place: Workplace, say: Print) -> None:
    """`stack output --json [--show-secrets]`."""
    files = place.find_stack()
    resources = [one for one in files.latest().get("resources") or () if one["type"] == STACK_TYPE]
    (stack,) = snapshot_from_json({"resources": resources}, place.state_vault(files)).resources or (None,)
    outputs = stack.outputs if stack else {}
    reveal = "--show-secrets" in place.arguments.flags
    masked = {name: BLINDED if isinstance(one, Secret) else one for name, one in outputs.items()}
    say(json.dumps(blind(strip(outputs) if reveal else masked)))


def history(place: Workplace, say: Print) -> None:
    """`stack history --json [--page-size N --page N]`, newest first. Secret settings stay encrypted."""
    size = place.arguments.number("--page-size", 10)
    first = size * (max(place.arguments.number("--page", 1), 1) - 1)
    records = [json.loads(path.read_text()) for path in place.find_stack().records()[first : first + size]]
    for record in records:
        for entry in record["config"].values():
            if entry["secret"]:
                entry["value"] = BLINDED
    say(json.dumps(records))


def cancel(place: Workplace, say: Print) -> None:
    """`cancel`: says who is at work; the lock of a process that is gone is gone with it."""
    files = place.find_stack()
    with lock.hold(files):
        raise EngineError(f"no update of stack '{files.stack}' is in progress; there is nothing to cancel")


def set_config(place: Workplace, say: Print) -> None:
    """`config set KEY [--secret] -- VALUE`. What does not change is not written, so no ciphertext changes."""
    config = place.config(place.find_stack())
    key, value = config.key(place.arguments.word(2)), place.arguments.word(3)
    vault, old = place.vault(config.salt), config.settings.get(key)
    secret = "--secret" in place.arguments.flags
    if (
        old is not None
        and old.secret == secret
        and value == (vault.decrypt(old.value) if secret else old.value)
    ):
        return
    setting = Setting(vault.encrypt(value) if secret else value, secret)
    replace(config, settings={**config.settings, key: setting}).save()


COMMANDS: Final = {
    "stack init": initialise,
    "stack select": select,
    "stack rm": remove,
    "stack output": output,
    "stack history": history,
    "cancel": cancel,
    "config set": set_config,
}
"""Every other command is refused by name."""
