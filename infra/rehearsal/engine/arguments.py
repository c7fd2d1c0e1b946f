"""`pulumi` command lines: which words are flags, which take a value, which are beyond this engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

VALUED: Final = frozenset(
    {
        "--stack",
        "--message",
        "--parallel",
        "--event-log",
        "--client",
        "--exec-kind",
        "--exec-agent",
        "--color",
    }
    | {
        "--config-file",
        "--page-size",
        "--page",
        "--secrets-provider",
        "--file",
        "--cwd",
        "--verbose",
        "--tracing",
    }
    | {"--run-program"}
)
SWITCHES: Final = frozenset(
    {
        "--yes",
        "--non-interactive",
        "--json",
        "--show-secrets",
        "--skip-preview",
        "--preview-only",
        "--refresh",
        "--diff",
    }
    | {
        "--expect-no-changes",
        "--clear-pending-creates",
        "--force",
        "--preserve-config",
        "--all",
        "--secret",
        "--plaintext",
    }
    | {"--suppress-outputs", "--suppress-progress", "--logflow", "--logtostderr", "--debug", "--no-select"}
    | {"--fully-qualify-stack-names", "--disable-integrity-checking", "--help", "--show-name"}
)
REFUSED: Final = frozenset(
    {
        "--target",
        "--target-dependents",
        "--exclude",
        "--exclude-dependents",
        "--exclude-protected",
        "--replace",
    }
    | {"--policy-pack", "--policy-pack-config", "--plan", "--save-plan", "--import-file", "--attach-debugger"}
    | {"--continue-on-error", "--remote", "--path", "--copy-config-from"}
)
SHORT: Final = {
    "-s": "--stack",
    "-y": "--yes",
    "-j": "--json",
    "-m": "--message",
    "-p": "--parallel",
    "-f": "--force",
}


class BadArguments(Exception):
    """A command line this engine does not take; the text says which word."""


@dataclass(frozen=True)
class Arguments:
    """A parsed command line. `order` has words and switches as they came, for `config set-all`."""

    words: tuple[str, ...]
    values: dict[str, str]
    switches: frozenset[str]
    order: tuple[str, ...]

    def has(self, switch: str) -> bool:
        """Whether a switch was given."""
        return switch in self.switches

    def value(self, name: str) -> str | None:
        """A flag's value, None where it was not given."""
        return self.values.get(name)

    def number(self, name: str, default: int) -> int:
        """A flag's value as a whole number; raises `BadArguments`."""
        text = self.values.get(name)
        if text is None:
            return default
        if not text.isdecimal():
            raise BadArguments(f"{name} takes a number, not {text!r}")
        return int(text)


def parse(words: Sequence[str]) -> Arguments:
    """Raises `BadArguments`. Everything after `--` is taken as it is."""
    plain: list[str] = []
    values: dict[str, str] = {}
    switches: set[str] = set()
    order: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            plain += rest
            order += rest
            break
        if not word.startswith("-") or word == "-":
            plain.append(word)
            order.append(word)
            continue
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        if name in REFUSED:
            raise BadArguments(f"{name} is not available in the embedded engine: use the Pulumi CLI")
        if name in VALUED:
            if not equals and not rest:
                raise BadArguments(f"{name} needs a value")
            values[name] = value if equals else rest.pop(0)
        elif name in SWITCHES:
            if value != "false":
                switches.add(name)
            order.append(name)
        else:
            raise BadArguments(
                f"unknown flag {name} (the embedded engine knows what the Automation API uses)"
            )
    return Arguments(tuple(plain), values, frozenset(switches), tuple(order))
