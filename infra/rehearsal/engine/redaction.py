"""Secrets around providers that do not know of them: taken off before a call, put back on its answer.

What a provider itself marked stays secret. Two rules make a value secret again: the answer's top-level key was secret
in what was sent (or is named by `additionalSecretOutputs`), or it holds a secret's plaintext under another key (tagsAll
is a copy of tags).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from infra.rehearsal.engine.provider import Values
from infra.rehearsal.engine.values import BLINDED, Secret, has_secret, nodes, strip, texts

SHORTEST_WORD: Final = 4
"""Secrets shorter than this are not looked for as whole values: "1" or "no" would blind half the state."""
SHORTEST_PART: Final = 8
"""Secrets from this length on are also looked for inside longer strings."""


def plaintexts(value: Any) -> frozenset[str]:
    """The strings that the secrets in `value` hide."""
    hidden = (texts(node) for node in nodes(value) if isinstance(node, Secret))
    return frozenset(text for group in hidden for text in group if len(text) >= SHORTEST_WORD)


def restore_secrets(
    plain: Mapping[str, Any], sent: Mapping[str, Any], additional: Iterable[str] = ()
) -> Values:
    """`plain` (a provider's answer) with those values secret that `sent` and `additional` call for."""
    hidden = plaintexts(sent)
    named = frozenset(additional)
    restored: Values = {}
    for name, answered in plain.items():
        value = strip(answered)
        was_secret = name in sent and has_secret(sent[name])
        if was_secret and strip(sent[name]) == value:
            restored[name] = Secret(value) if name in named else sent[name]
        elif was_secret or name in named or _shows(value, hidden):
            restored[name] = Secret(value)
        else:
            restored[name] = answered
    return restored


def _shows(value: Any, hidden: frozenset[str]) -> bool:
    return any(
        word == text or (len(word) >= SHORTEST_PART and word in text)
        for word in hidden
        for text in texts(value)
    )


class Redactor:
    """Takes secrets out of messages (an API's error text may quote what it was sent)."""

    def __init__(self) -> None:
        self._words: frozenset[str] = frozenset()

    def learn(self, value: Any) -> None:
        """Remember the secrets in `value`."""
        self._words |= plaintexts(value)

    def clean(self, text: str) -> str:
        """`text` with every known secret as "[secret]"."""
        for word in sorted(self._words, key=len, reverse=True):
            text = text.replace(word, BLINDED)
        return text
