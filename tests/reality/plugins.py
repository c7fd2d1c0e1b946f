"""Plugins of the real CLI that lead back into this process.

A plugin folder of PULUMI_HOME holds a script. The CLI starts it once for every provider resource; it sends its
environment here, gets the port of a server made for it alone, and ends with it. So each provider resource has a
provider of its own, configured by what the CLI was given, as a plugin on AWS has; yet a test sees into the provider
and its cloud, and no Python starts per resource.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.rehearsal.engine.provider import ProviderFactory
from tests.reality.provider_server import ProviderServicer, serve

SCRIPT = """#!/usr/bin/env bash
exec 3<>/dev/tcp/127.0.0.1/{port} || exit 1
printf '{package}\\0' >&3; env -0 >&3; printf '\\0' >&3
read -r port <&3 || exit 1
echo "$port"
exec >/dev/null
read -r _ <&3
"""


@dataclass
class PluginHub:
    """`home` becomes PULUMI_HOME. `install` a provider, start the CLI, `close` at the end."""

    home: Path
    factories: dict[str, tuple[str, ProviderFactory]] = field(default_factory=dict)
    """Version and factory of each package; another one may take its place between two runs."""
    connections: set[socket.socket] = field(default_factory=set)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def install(self, package: str, version: str, factory: ProviderFactory) -> None:
        """Let the CLI find this provider under its version ("7.51.1")."""
        self.factories[package] = (version, factory)
        folder = self.home / "plugins" / f"resource-{package}-v{version}"
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / f"pulumi-resource-{package}"
        script.write_text(SCRIPT.format(port=self.listener.getsockname()[1], package=package))
        script.chmod(0o755)

    def end_plugins(self) -> None:
        """End every plugin that is there: those of a CLI that was killed do not notice by themselves."""
        for connection in tuple(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.close()
        self.end_plugins()

    def _listen(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                connection, _ = self.listener.accept()
                self.connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """One plugin, until it or we hang up."""
        try:
            with connection, connection.makefile("rb") as said, suppress(OSError):
                package, environment = read_greeting(said)
                version, factory = self.factories[package]
                server, port = serve(ProviderServicer(package, version, factory, environment))
                try:
                    connection.sendall(f"{port}\n".encode())
                    said.read()
                finally:
                    server.stop(None)
        finally:
            self.connections.discard(connection)


def read_greeting(said: Any) -> tuple[str, dict[str, str]]:
    """The package and the environment: NUL after each entry, an empty one at the end."""
    entries, data = [], b""
    while not data.endswith(b"\0\0"):
        more = said.read1(65536)
        if not more:
            raise ConnectionError("the plugin ended before it was served")
        data += more
    entries = data.decode(errors="replace").split("\0")[:-2]
    return entries[0], dict(entry.split("=", 1) for entry in entries[1:] if "=" in entry)
