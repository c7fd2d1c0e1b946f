"""Documents of earlier versions in the words of today. The only place that knows the old ones.

The ledger is append-only, so an old event is never written anew; what is derived from it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RELEASE = {"contract": "serving"}
PACK = {"content_id": "content_digest"}
SERVING = {"ami": "host_image"}
OUTPUTS = {"configurations": "revisions"}


def upgrade_release(document: Mapping[str, Any]) -> dict[str, Any]:
    """A release document as `Release` reads it; one of today comes back as it is."""
    release = rename(document, RELEASE)
    for part, words in (("pack", PACK), ("serving", SERVING)):
        if isinstance(release.get(part), Mapping):
            release[part] = rename(release[part], words)
    return release


def upgrade_outputs(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a stack gave, in the words of today's programs."""
    return rename(outputs, OUTPUTS)


def in_first_words(serving: Mapping[str, Any]) -> dict[str, Any]:
    """A serving configuration as the first version wrote it: release keys are computed over that."""
    return rename(serving, {new: old for old, new in SERVING.items()})


def rename(document: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    return {words.get(name, name): value for name, value in document.items()}
