"""A stack that another process has locked: whose lock that is, and whether it may be lifted."""

from __future__ import annotations

from typing import Any

from infra.lock_owner import told_owners
from modelpack.errors import Locked


def lift(opened: Any, said: str, backend: str) -> None:
    """Lift the locks that the refusal `said` names, if all of them are of processes of this machine that are gone.

    Raises:
        Locked: somebody may be at work: by which process, where, and what to type when nobody is.
    """
    owners = told_owners(said)
    if owners and all(owner.is_dead() for owner in owners):
        opened.cancel()
        return
    held = "; ".join(str(owner) for owner in owners) or said.strip()
    at_work = [owner for owner in owners if owner.is_here() and not owner.is_dead()]
    wait = (
        f"it is at work on this machine: wait, or end it with `kill -INT {at_work[0].pid}`" if at_work else ""
    )
    command = f"PULUMI_BACKEND_URL={backend} pulumi cancel --yes --stack {opened.name}"
    lost = f"if nobody works there any more: cd {opened.workspace.work_dir} && {command}"
    raise Locked(f"the stack is locked: {held}", where=opened.name, hint=wait or lost)
