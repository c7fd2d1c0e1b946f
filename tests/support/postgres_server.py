"""A real PostgreSQL, Debian's, with a collation that is not by bytes and a password that must be given."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from own_tables import Tables
from ports import free_port

PASSWORD = "of-the-tests"
SETTINGS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True)
class PostgresServer:
    """A server that answers: `url` of its database, without the password."""

    port: int

    @property
    def url(self) -> str:
        return f"postgresql://shop@127.0.0.1:{self.port}/postgres"

    @contextmanager
    def connected(self) -> Iterator[Any]:
        from adbc_driver_postgresql import dbapi

        address = self.url.replace("shop@", f"shop:{PASSWORD}@")
        with dbapi.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
            yield cursor

    def load(self, tables: Tables, schema: str) -> str:
        """The tables in a schema of their own, which is where the address returned looks for them."""
        with self.connected() as cursor:
            cursor.execute(f"CREATE SCHEMA {schema}")
            for name, table in tables.items():
                rows = pa.Table.from_pandas(table, preserve_index=False)
                cursor.adbc_ingest(name, rows, mode="create", db_schema_name=schema)
        return f"{self.url}?options=-csearch_path%3D{schema}"


def find_tool(name: str) -> str:
    """A program of the newest server here, which Debian keeps off the path. Skips where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found and not shutil.which(name):
        pytest.skip("no PostgreSQL server here (apt-get install postgresql)")
    return str(found[-1]) if found else name


@contextmanager
def serving() -> Iterator[PostgresServer]:
    """A server in a folder of its own; by Debian's user, for it refuses to run as root."""
    tools = find_tool("initdb"), find_tool("postgres")
    owner: dict[str, Any] = (
        {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    )
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-postgres-") as place:
        folder = Path(place)
        (folder / "password").write_text(PASSWORD)
        if owner:
            for one in (folder, folder / "password"):
                shutil.chown(one, "postgres", "postgres")
        made = ["--auth=scram-sha-256", "--username=shop", f"--pwfile={folder / 'password'}", "--no-sync"]
        texts = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        subprocess.run(
            [tools[0], "-D", folder / "data", *made, *texts],
            check=True,
            capture_output=True,
            cwd=place,
            **owner,
        )
        server = PostgresServer(free_port())
        settings = [f"--{key}={value}" for key, value in {**SETTINGS, "port": server.port}.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [tools[1], "-D", folder / "data", *settings], stderr=log, stdout=log, cwd=place, **owner
            )
        try:
            wait(server, process, folder / "log")
            yield server
        finally:
            process.terminate()
            process.wait(60)


def wait(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers."""
    from adbc_driver_manager import Error

    for _ in range(1200):
        try:
            with server.connected():
                return
        except Error as error:
            if process.poll() is not None:
                raise AssertionError(log.read_text()) from error
            time.sleep(0.05)
    raise AssertionError(log.read_text())
