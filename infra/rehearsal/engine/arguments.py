"""`pulumi` command lines as the Automation API writes them; any other flag is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infra.rehearsal.engine.errors import EngineError, Unsupported

VALUED: Final = {"--stack", "--message", "--parallel", "--client", "--event-log", "--secrets-provider"}
PAGING: Final = {"--page-size", "--page"}
SWITCHES: Final = {"--refresh", "--preview-only", "--clear-pending-creates", "--json", "--show-secrets"}
CONFIRMING: Final = {"--secret", "--force", "--preserve-config"}
VALUED_WITHOUT_EFFECT: Final = {"--exec-kind", "--color", "--verbose", "--tracing"}
WITHOUT_EFFECT: Final = {"--yes", "--non-interactive", "--skip-preview", "--plaintext", "--debug"}
QUIETING: Final = {"--suppress-outputs", "--suppress-progress", "--logflow", "--logtostderr"}


@dataclass(frozen=True)
class Arguments:
    """A parsed command line: words, flags with their values, switches."""

    words: tuple[str, ...]
    values: dict[str, str]
    switches: frozenset[str]

    def has(self, switch: str) -> bool:
        """Whether a switch was given."""
        return switch in self.switches

    def value(self, name: str) -> str | None:
        """A flag's value, None where it was not given."""
        return self.values.get(name)

    def word(self, position: int) -> str:
        """A word of the command line; raises `EngineError` where it is missing."""
        if position >= len(self.words):
            raise EngineError(f"{' '.join(self.words)}: a word is missing")
        return self.words[position]

    def number(self, name: str, default: int) -> int:
        """A flag's value as a whole number; raises `EngineError`."""
        text = self.values.get(name, str(default))
        if not text.isdecimal():
            raise EngineError(f"{name} takes a number, not {text!r}")
        return int(text)


def parse(line: Sequence[str]) -> Arguments:
    """Raises `EngineError`. Everything after `--` is taken as it is."""
    words: list[str] = []
    values: dict[str, str] = {}
    switches: set[str] = set()
    rest = list(line)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            words += rest
            break
        if not word.startswith("-"):
            words.append(word)
        elif name in VALUED | PAGING | VALUED_WITHOUT_EFFECT:
            if not equals and not rest:
                raise EngineError(f"{name} needs a value")
            values[name] = value if equals else rest.pop(0)
        elif word in SWITCHES | CONFIRMING | WITHOUT_EFFECT | QUIETING:
            switches.add(word)
        else:
            raise Unsupported(f"the flag {word}")
    return Arguments(tuple(words), values, frozenset(switches))
