"""`pulumi stack ...`, `whoami` and `cancel`: what there is, without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from infra.rehearsal.engine import lock
from infra.rehearsal.engine.arguments import BadArguments
from infra.rehearsal.engine.resource import Snapshot, deployment_from_json, deployment_to_json
from infra.rehearsal.engine.state import StackFiles, StateError, Writer, write_atomically
from infra.rehearsal.engine.values import Secret, blind, strip
from infra.rehearsal.engine.workplace import Workplace

Print = Callable[[str], None]


def run(place: Workplace, say: Print) -> None:
    """Dispatch on the word after `stack`."""
    verb = place.arguments.words[1] if len(place.arguments.words) > 1 else "show"
    commands = {
        "init": initialise,
        "select": select,
        "ls": listing,
        "rm": remove,
        "output": output,
        "export": export,
        "import": import_state,
        "history": history,
        "show": show,
    }
    if verb not in commands:
        raise BadArguments(f"stack {verb} is not available in the embedded engine: use the Pulumi CLI")
    commands[verb](place, say)


def _named(place: Workplace) -> str | None:
    return place.arguments.words[2] if len(place.arguments.words) > 2 else None


def initialise(place: Workplace, say: Print) -> None:
    """`stack init NAME`: an empty state whose secrets go under the passphrase."""
    provider = place.arguments.value("--secrets-provider") or "passphrase"
    if provider not in ("passphrase", "default"):
        raise BadArguments(f"secrets provider {provider} is not in the embedded engine: use the Pulumi CLI")
    files = place.files(_named(place))
    if files.exists():
        raise StateError(f"stack '{files.stack}' already exists")
    config = place.config(files)
    vault = place.vault(config.salt)
    files.initialise(Snapshot(salt=vault.salt_text), vault)
    if not config.salt:
        replace(config, salt=vault.salt_text).save()
    if not place.arguments.has("--no-select"):
        write_atomically(files.selected, files.stack)
    say(f"Created stack '{files.stack}'")


def select(place: Workplace, say: Print) -> None:
    """`stack select NAME`."""
    files = place.existing(_named(place))
    if not files.selected.exists() or files.selected.read_text().strip() != files.stack:
        write_atomically(files.selected, files.stack)


def show(place: Workplace, say: Print) -> None:
    """`stack`: the current one, or that it does not exist."""
    files = place.existing()
    say(f"Current stack is {files.stack}:")
    for one in _latest(files).get("resources") or ():
        say(f"    {one['type']}  {one['urn'].rpartition('::')[2]}")


def _latest(files: StackFiles) -> Mapping[str, Any]:
    latest: Mapping[str, Any] | None = files.document()["checkpoint"].get("latest")
    return latest or {}


def listing(place: Workplace, say: Print) -> None:
    """`stack ls --json`."""
    base = StackFiles(place.root, place.project.name, "")
    current = base.selected.read_text().strip() if base.selected.exists() else ""
    listed = []
    for files in base.siblings():
        last = next(files.records(), None)
        entry: dict[str, Any] = {
            "name": files.stack,
            "current": files.stack == current,
            "updateInProgress": any(lock.alive(owner) for owner in lock.owners(files).values()),
            "resourceCount": len(_latest(files).get("resources") or ()),
        }
        listed.append(entry | ({"lastUpdate": last["endTime"]} if last else {}))
    if place.arguments.has("--json"):
        say(json.dumps(listed))
    else:
        for entry in listed:
            say(f"{entry['name']}{'*' if entry['current'] else ''}  {entry['resourceCount']} resources")


def remove(place: Workplace, say: Print) -> None:
    """`stack rm NAME`: refuses while it holds resources, unless --force."""
    files = place.existing(_named(place))
    with lock.held(files):
        latest = _latest(files)
        if (latest.get("resources") or latest.get("pending_operations")) and not place.arguments.has(
            "--force"
        ):
            raise StateError(
                f"'{files.stack}' still has resources; removal rejected. Destroy it first, or use --force"
            )
        config = place.config(files)
        files.remove()
        if not place.arguments.has("--preserve-config"):
            config.path.unlink(missing_ok=True)
    if files.selected.exists() and files.selected.read_text().strip() == files.stack:
        files.selected.unlink()
    say(f"Stack '{files.stack}' has been removed!")


def output(place: Workplace, say: Print) -> None:
    """`stack output [NAME] [--json] [--show-secrets]`."""
    files = place.existing()
    latest = _latest(files)
    vault = place.state_vault(files)
    snapshot = deployment_from_json({"resources": _stack_only(latest)}, vault)
    outputs = snapshot.stack.outputs if snapshot.stack else {}
    reveal = place.arguments.has("--show-secrets")
    shown = {name: blind(strip(value)) if reveal else _masked(value) for name, value in outputs.items()}
    named = _named(place)
    if named is not None:
        if named not in shown:
            raise StateError(f"current stack does not have output property '{named}'")
        say(json.dumps(shown[named]) if place.arguments.has("--json") else str(shown[named]))
    else:
        say(json.dumps(shown))


def _masked(value: Any) -> Any:
    return "[secret]" if isinstance(value, Secret) else blind(value)


def _stack_only(latest: Mapping[str, Any]) -> list[Any]:
    return [one for one in latest.get("resources") or () if one["type"] == "pulumi:pulumi:Stack"]


def export(place: Workplace, say: Print) -> None:
    """`stack export [--show-secrets]`: the deployment, as the real CLI imports it."""
    files = place.existing()
    vault = place.state_vault(files)
    reveal = place.arguments.has("--show-secrets")
    deployment = deployment_to_json(files.load(vault), vault, show_secrets=reveal)
    say(json.dumps({"version": 3, "deployment": deployment}))


def import_state(place: Workplace, say: Print) -> None:
    """`stack import --file FILE`: replace the state by an export."""
    files = place.existing()
    path = place.arguments.value("--file")
    if path is None:
        raise BadArguments("stack import needs --file")
    document = json.loads(Path(path).read_text())
    if document.get("version") not in (3, None) or not isinstance(document.get("deployment"), dict | None):
        raise StateError(f"{path} is no deployment of version 3")
    with lock.held(files):
        vault = place.state_vault(files)
        snapshot = deployment_from_json(document["deployment"], vault)
        files.keep_backup()
        Writer(files, vault).write(snapshot, durable=True)
    say("Import complete.")


def history(place: Workplace, say: Print) -> None:
    """`stack history --json [--page-size N --page N] [--show-secrets]`, newest first."""
    files = place.existing()
    size = place.arguments.number("--page-size", 10)
    page = max(place.arguments.number("--page", 1), 1)
    reveal = place.arguments.has("--show-secrets")
    config = place.salted(files, place.config(files))
    records = [dict(one) for one in islice(files.records(), size * (page - 1), size * page)]
    for record in records:
        shown = {}
        for key, entry in record["config"].items():
            if not entry["secret"]:
                shown[key] = entry
            elif reveal:
                shown[key] = {"value": place.vault(config.salt).open(entry["value"]), "secret": True}
            else:
                shown[key] = {"secret": True}
        record["config"] = shown
    if place.arguments.has("--json"):
        say(json.dumps(records))
    else:
        for record in records:
            say(f"{record['version']}  {record['kind']}  {record['result']}  {record['endTime']}")


def whoami(place: Workplace, say: Print) -> None:
    """`whoami [--json]`: nobody logs in to a folder."""
    name = lock.user()
    say(json.dumps({"user": name, "url": f"file://{place.root}"}) if place.arguments.has("--json") else name)


def cancel(place: Workplace, say: Print) -> None:
    """`cancel`: says who is at work; a lock whose process is gone needs no cancelling."""
    words = place.arguments.words
    files = place.existing(words[1] if len(words) > 1 else None)
    live = [owner for owner in lock.owners(files).values() if lock.alive(owner)]
    if not live:
        raise StateError(f"no update of stack '{files.stack}' is in progress; there is nothing to cancel")
    pids = ", ".join(str(owner["pid"]) for owner in live)
    raise StateError(
        f"the update of stack '{files.stack}' runs in process {pids}: interrupt it there (Ctrl-C). "
        "If it is killed, the next command takes over its lock and picks up where it stopped"
    )
