"""Where the user's kubeconfig is, by kubectl's rules: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from modelpack.errors import BadInput


def find_kubeconfig(environment: Mapping[str, str], context: str = "") -> Path:
    """The file of KUBECONFIG's list that has that context, else the first that is there; without KUBECONFIG the home
    folder's. A context must have its cluster and its user in the same file: the files of a list are not merged.

    Raises:
        BadInput: there is none.
    """
    listed = [Path(each).expanduser() for each in environment.get("KUBECONFIG", "").split(os.pathsep) if each]
    home = Path(environment.get("HOME") or Path.home()) / ".kube" / "config"
    there = [path for path in listed or [home] if path.is_file()]
    if not there:
        where = ", ".join(map(str, listed)) or str(home)
        raise BadInput(
            f"there is no kubeconfig ({where})", hint="set KUBECONFIG, or `kubeconfig:` of the environment"
        )
    return next((path for path in there if len(there) > 1 and context in contexts_of(path)), there[0])


def contexts_of(path: Path) -> tuple[str, ...]:
    """The names of its contexts; none where it does not read."""
    from yaml import YAMLError, safe_load

    try:
        return tuple(str(one["name"]) for one in safe_load(path.read_text())["contexts"])
    except (OSError, ValueError, TypeError, LookupError, YAMLError):
        return ()
