"""`pulumi` command lines as the Automation API writes them; any other flag is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infra.rehearsal.engine.errors import EngineError, Unsupported

VALUED: Final = {"--stack", "--message", "--parallel", "--client", "--event-log", "--secrets-provider"}
PAGING: Final = {"--page-size", "--page"}
SWITCHES: Final = {
    "--refresh",
    "--preview-only",
    "--clear-pending-creates",
    "--json",
    "--show-secrets",
    "--secret",
}
VALUED_IN_VAIN: Final = {"--exec-kind", "--color", "--verbose", "--tracing"}
SWITCHES_IN_VAIN: Final = {"--yes", "--non-interactive", "--skip-preview", "--plaintext", "--debug"}
QUIETING_IN_VAIN: Final = {"--suppress-outputs", "--suppress-progress", "--logflow", "--logtostderr"}


@dataclass(frozen=True)
class Arguments:
    """A parsed command line: its words, and its flags with their values ("" for a switch)."""

    words: tuple[str, ...]
    flags: Mapping[str, str]

    def word(self, position: int) -> str:
        """A word of the command line; raises `EngineError` where it is missing."""
        if position >= len(self.words):
            raise EngineError(f"{' '.join(self.words)}: a word is missing")
        return self.words[position]

    def number(self, name: str, default: int) -> int:
        """A flag's value as a whole number; raises `EngineError`."""
        text = self.flags.get(name, str(default))
        if not text.isdecimal():
            raise EngineError(f"{name} takes a number, not {text!r}")
        return int(text)


def parse(line: Sequence[str]) -> Arguments:
    """Raises `EngineError`. Everything after `--` is taken as it is."""
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = list(line)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            words += rest
            break
        if not word.startswith("-"):
            words.append(word)
        elif name in VALUED | PAGING | VALUED_IN_VAIN:
            if not equals and not rest:
                raise EngineError(f"{name} needs a value")
            flags[name] = value if equals else rest.pop(0)
        elif word in SWITCHES | SWITCHES_IN_VAIN | QUIETING_IN_VAIN:
            flags[word] = ""
        else:
            raise Unsupported(f"the flag {word}")
    return Arguments(tuple(words), flags)
