"""A container runtime and a registry for tests, on a machine that may have neither.

    with registry(folder) as host: push to http://{host} ...
    with started(folder, f"{host}/shop@{digest}") as container: httpx.get(f"{container.url}/ping")

Both skip the test, with the reason, where a tool is missing or the kernel does not allow it. Podman's own store lies
below `folder`. The options are those that also work as root inside a plain sandbox (cgroups, no network of its own).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
import pytest
from ports import free_port
from waiting import SECONDS, wait_for

# what kernels and sandboxes say when they do not let containers run
NOT_ALLOWED = (
    "operation not permitted",
    "permission denied",
    "cgroup",
    "not supported",
    "no subuid ranges",
    "newuidmap",
    "user namespace",
    "failed to mount",
    "mount_setattr",
)
SETTINGS = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
[engine.runtimes]
runc = ["/usr/sbin/runc", "/usr/bin/runc"]
"""
REGISTRY = """version: 0.1
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: warn}}
"""


def tool(name: str) -> str:
    """Its path. Skips where it is not installed."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


@contextlib.contextmanager
def registry(folder: pathlib.Path) -> Iterator[str]:
    """Debian's docker-registry on loopback; gives "127.0.0.1:port"."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "registry.yml"
    settings.write_text(REGISTRY.format(root=folder / "registry", port=port))
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen([tool("docker-registry"), "serve", str(settings)], stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/v2/", process, folder / "registry.log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


@dataclass
class Container:
    """A running container that answers at `url`."""

    url: str
    name: str
    podman: list[str]
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.podman, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )

    def logs(self) -> str:
        done = self.run("logs", self.name)
        return done.stdout + done.stderr

    def stop(self, seconds: int = 15) -> int:
        """SIGTERM, then its exit code."""
        self.run("stop", "--time", str(seconds), self.name)
        return int(self.run("inspect", "--format", "{{.State.ExitCode}}", self.name).stdout)


@contextlib.contextmanager
def started(
    folder: pathlib.Path,
    reference: str,
    environment: Mapping[str, str] | None = None,
    ready: str = "/ping",
    logins: Mapping[str, str] | None = None,
) -> Iterator[Container]:
    """`podman run` of an image of a loopback registry: read-only, no capabilities, as the image's own user. `logins`:
    variables that tell podman how to log in there."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "containers.conf"
    settings.write_text(SETTINGS)
    tool("runc")
    # podman takes no runroot of more than 50 characters
    state = tempfile.mkdtemp(prefix="eco-", dir="/tmp")
    podman = [tool("podman"), "--root", str(folder / "store"), "--runroot", state]
    port = free_port()
    container = Container(
        f"http://127.0.0.1:{port}",
        f"ecomdeploy-test-{secrets.token_hex(4)}",
        podman,
        {**os.environ, "CONTAINERS_CONF": str(settings), **(logins or {})},
    )
    _allowed(container.run("pull", "--quiet", "--tls-verify=false", reference))
    variables = {"SAGEMAKER_BIND_TO_PORT": str(port), "ECOMDEPLOY_HOST": "127.0.0.1", **(environment or {})}
    options = [option for name, value in variables.items() for option in ("--env", f"{name}={value}")]
    options += ["--name", container.name, "--detach", "--network", "host", "--read-only", "--cap-drop", "ALL"]
    try:
        _allowed(container.run("run", *options, reference))
        _wait(container.url + ready, None, None, container)
        yield container
    finally:
        container.run("rm", "--force", container.name)
        container.run("rmi", "--all", "--force")
        shutil.rmtree(state, ignore_errors=True)


def _allowed(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if any(words in said.lower() for words in NOT_ALLOWED):
        pytest.skip(f"this machine does not let containers run: {said.splitlines()[-1][:300]}")
    raise AssertionError(said)


def _wait(
    url: str,
    process: subprocess.Popen[bytes] | None,
    log: pathlib.Path | None,
    container: Container | None = None,
) -> None:
    def answers() -> bool:
        assert process is None or process.poll() is None, log and log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url).status_code == 200
        return False

    try:
        wait_for(answers)
    except AssertionError as late:
        said = container.logs() if container else log and log.read_text()
        raise AssertionError(f"{url} does not answer: {said}") from late
