"""Where Debian packages come from: the mirror this machine's apt uses for the suite, else Debian's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
DEBIAN = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
SOURCE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>.*)"
)


@dataclass(frozen=True)
class Mirror:
    """`archive` serves the suite and its `-updates`, `security` its `-security`; "" leaves that one out."""

    archive: str = DEBIAN
    security: str = SECURITY

    def of(self, suite: str) -> str:
        """The mirror's root for a suite, without a trailing slash."""
        return (self.security if suite.endswith("-security") else self.archive).rstrip("/")

    def suites(self, suite: str) -> tuple[str, ...]:
        """The suites to look into, the stable one first."""
        every = (suite, f"{suite}-updates", f"{suite}-security")
        return tuple(name for name in every if self.of(name))


def of_host(suite: str, apt: Path = APT) -> Mirror:
    """The mirror that apt's sources name for the suite, over HTTP; Debian's where they name none."""
    sources = tuple(_sources(apt))
    archive = next((uri for uri, name in sources if name == suite), DEBIAN)
    security = next((uri for uri, name in sources if name == f"{suite}-security"), SECURITY)
    return Mirror(archive, security)


def _sources(apt: Path) -> Iterator[tuple[str, str]]:
    """(URI, suite) of every binary source with component main."""
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))):
        for line in _text(path).splitlines():
            found = SOURCE_LINE.match(line.strip())
            if found and "main" in found["components"].split() and found["uri"].startswith("http"):
                yield found["uri"], found["suite"]
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", _text(path)):
            fields = fields_of("\n".join(line for line in stanza.splitlines() if not line.startswith("#")))
            wanted = (
                "deb" in fields.get("Types", "").split() and "main" in fields.get("Components", "").split()
            )
            if wanted and fields.get("Enabled", "yes") != "no":
                for uri in fields.get("URIs", "").split():
                    if uri.startswith("http"):
                        yield from ((uri, suite) for suite in fields.get("Suites", "").split())


def fields_of(stanza: str) -> dict[str, str]:
    """One stanza of a Debian control file (deb822): field -> value, continuation lines joined by newlines."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t"):
            if name:
                fields[name] += f"\n{line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
