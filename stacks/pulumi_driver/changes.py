"""What Pulumi's engine events say, as Changes: one per cloud resource, without what stayed the same."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from modelpack.progress import Progress
from stacks.pulumi_driver.driver import Change

REPLACING = frozenset({"replace", "create-replacement", "delete-replaced"})
COUNTED = REPLACING | {"create", "update", "delete", "import"}
DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "import": "adopted",
    "replace": "replaced",
}
FOUND = "found "
"""How the embedded engine tells, of a resource, that it was there already."""
MARKUP = re.compile(r"<\{%[^%]{0,60}%\}>|\x1b\[[0-9;]*m")


class Watch:
    """Takes the events of one operation. `errors` are the provider's own words."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seen: dict[str, Change] = {}
        self.errors: list[str] = []

    def see(self, event: Any) -> None:
        """One event (pulumi.automation.EngineEvent)."""
        if event.resource_pre_event is not None:
            self.step(event.resource_pre_event.metadata)
        elif event.res_outputs_event is not None:
            self.finish(event.res_outputs_event.metadata)
        elif event.diagnostic_event is not None:
            self.hear(event.diagnostic_event)

    def hear(self, diagnostic: Any) -> None:
        """A message: the errors are kept, and what was there already."""
        text = strip_markup(diagnostic.message)
        if diagnostic.severity == "error" and text:
            self.errors.append(text)
        if diagnostic.severity == "info" and text.startswith(FOUND) and diagnostic.urn in self.seen:
            change = replace(self.seen[diagnostic.urn], found=text.removeprefix(FOUND))
            self.seen[diagnostic.urn] = change

    def step(self, metadata: Any) -> None:
        """A step is about to be taken (or would be, in a preview)."""
        op = str(getattr(metadata.op, "value", metadata.op))
        if op not in COUNTED or not is_custom(metadata):
            return
        before = self.seen.get(metadata.urn)
        replaced = op in REPLACING or (before is not None and before.op == "replace")
        differing = metadata.detailed_diff or dict.fromkeys(metadata.diffs or ())
        keys = (*(before.keys if before else ()), *differing)
        replaces = (*(before.replaces if before else ()), *(metadata.keys or ()))
        self.seen[metadata.urn] = Change(
            metadata.urn,
            "replace" if replaced else op,
            tuple(dict.fromkeys(keys)),
            tuple(dict.fromkeys(replaces)),
            before.found if before else "",
        )

    def finish(self, metadata: Any) -> None:
        op = str(getattr(metadata.op, "value", metadata.op))
        if op in DONE and is_custom(metadata):
            change = Change(metadata.urn, op)
            kind, seen = change.type.rpartition(":")[2], self.seen.get(metadata.urn)
            found = seen.found if seen and op == "create" else ""
            self.progress.note(
                f"found {kind} {found}: it is taken over" if found else f"{DONE[op]} {kind} {change.name}"
            )

    def changes(self) -> tuple[Change, ...]:
        return tuple(self.seen.values())


def is_custom(metadata: Any) -> bool:
    """Whether it is a thing in the cloud: neither a component, nor a provider, nor the stack itself."""
    state = metadata.new or metadata.old
    kind = str(metadata.type)
    return bool(state is None or state.custom) and not kind.startswith(
        ("pulumi:providers:", "pulumi:pulumi:")
    )


def strip_markup(text: str) -> str:
    """An engine message without colours and its leading word."""
    return MARKUP.sub("", text).strip().removeprefix("error:").strip()
