"""Who builds the image in `benchmarks/image.py`: ours, BuildKit from its Go modules, buildah from Debian."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from tests.go_tool import GoTool

ROOT = Path(__file__).resolve().parents[1]
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
SECONDS = 1800
INSTALL = [
    *("/usr/bin/python3", "/wheels/pip.whl/pip", "install", "-q", "--no-index", "--no-deps"),
    *("--root-user-action", "ignore", "--target", "/opt/ecomdeploy/deps", "-r", "/wheels/requirements.txt"),
]
FROM_PACKAGES = "FROM scratch\nCOPY rootfs /\n"
LATER = f"""RUN --mount=type=bind,source=wheels,target=/wheels {json.dumps(INSTALL)}
COPY model /opt/ecomdeploy/model
COPY app /opt/ecomdeploy/app
ENV PYTHONPATH=/opt/ecomdeploy/app:/opt/ecomdeploy/deps
ENTRYPOINT ["/usr/bin/python3", "-m", "modelpack.server"]
"""
"""What changes seldom comes first. `pip` compiles what it installs; the server's own files are not compiled, as is
usual, which is less work than ours."""


@dataclass(frozen=True)
class Job:
    """One image to build and push: `context` holds what it is made of (`benchmarks.image.write_context`), `reference`
    is host/name:tag, `base` a base image there, "" where it is made of Debian packages; `cached`: an earlier image is
    there, and the builder may look for its layers; `later`: what a peer does upon the base."""

    context: Path
    reference: str
    base: str = ""
    cached: bool = False
    later: str = LATER


class Builder(Protocol):
    """A way to an image in a registry."""

    def lacks(self) -> str:
        """Why it cannot be had here; "" where it can."""
        ...

    def version(self) -> str: ...

    def forget(self) -> None:
        """Begin with an empty store."""
        ...

    def build(self, job: Job) -> float:
        """Build and push; the CPU seconds that it took. Raises RuntimeError with what the builder said."""
        ...

    def end(self) -> None:
        """Stop what runs."""
        ...


def ask(words: Sequence[str | Path], **variables: str) -> float:
    """Run a program to its end; its CPU seconds and those of all it waited for. Raises RuntimeError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PATH": PATH, **variables}
    done = subprocess.run(
        list(map(str, words)), env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]}: exit {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_dockerfile(job: Job, folder: Path) -> Path:
    """The peers' two ways: from a base image, and from packages that were unpacked into `rootfs`."""
    path = folder / "Dockerfile"
    path.write_text((f"FROM {job.base}\n" if job.base else FROM_PACKAGES) + job.later)
    return path


def unpack_packages(context: Path) -> float:
    """What a base without a base image begins with: the packages, by Debian's own tool; CPU seconds."""
    root = context / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    (root / "tmp").mkdir()
    # `dpkg-deb -x` would put folders in the place of these links
    words = [
        "bash",
        "-o",
        "pipefail",
        "-c",
        'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"',
    ]
    return sum(ask([*words, "bash", one, root]) for one in sorted((context / "debs").iterdir()))


@dataclass
class Ours:
    """`benchmarks/image_program.py`, a process each time; the downloads stay, as the peers' context does."""

    place: Path

    def lacks(self) -> str:
        return ""

    def version(self) -> str:
        return "this checkout"

    def forget(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def build(self, job: Job) -> float:
        words: list[str | Path] = [sys.executable, "-m", "benchmarks.image_program"]
        words += [job.context, self.place, job.reference]
        words += ["--shipped"] if job.cached else []
        return ask(words, PYTHONPATH=str(ROOT))

    def end(self) -> None:
        pass


@dataclass
class Buildah:
    """Debian's buildah: a layer each step, kept in its own store; RUN in a chroot. It finds no layers in an image that
    it has pushed: its `--cache-from` wants a repository of layers, which each build would have to push besides."""

    place: Path

    def lacks(self) -> str:
        if os.geteuid():
            return "buildah without root needs user namespaces and newuidmap: run as root"
        return "" if shutil.which("buildah", path=PATH) else "apt-get install buildah"

    def version(self) -> str:
        return subprocess.run(
            ["buildah", "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()

    def forget(self) -> None:
        if self.place.exists():
            ask([*self._words(), "rmi", "--all", "--force"])
        self.place.mkdir(parents=True, exist_ok=True)

    def build(self, job: Job) -> float:
        taken = 0.0 if job.base else unpack_packages(job.context)
        words = [*self._words(), "build", "--layers", "--isolation", "chroot", "--tls-verify=false"]
        words += ["-t", job.reference, "-f", str(write_dockerfile(job, self.place)), str(job.context)]
        return taken + ask(words) + ask([*self._words(), "push", "--tls-verify=false", job.reference])

    def end(self) -> None:
        self.forget()

    def _words(self) -> list[str]:
        return ["buildah", "--root", str(self.place / "store"), "--runroot", str(self.place / "run")]


BUILDKIT = tuple(
    GoTool(
        name=name,
        module=ROOT / "benchmarks" / "buildkit",
        package=f"github.com/moby/buildkit/cmd/{name}",
        pinned="github.com/moby/buildkit",
    )
    for name in ("buildkitd", "buildctl")
)


@dataclass
class BuildKit:
    """buildkitd with runc and overlayfs. Its start is in no figure: it runs before anybody builds."""

    place: Path
    daemon: psutil.Popen | None = field(default=None, repr=False)

    def lacks(self) -> str:
        if os.geteuid():
            return "buildkitd without root needs rootlesskit: run as root"
        if not shutil.which("runc", path=PATH):
            return "apt-get install runc"
        return "" if all(one.can_be_had() for one in BUILDKIT) else "there is no Go to build BuildKit with"

    def version(self) -> str:
        return f"BuildKit {BUILDKIT[0].version()}"

    def forget(self) -> None:
        self.end()
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        words = [BUILDKIT[0].build(), "--root", self.place / "root", "--addr", self._address()]
        words += ["--oci-worker-net", "host"]
        with (self.place / "log").open("wb") as log:
            self.daemon = psutil.Popen(
                list(map(str, words)), stdout=log, stderr=log, env={**os.environ, "PATH": PATH}
            )
        wait_until(self._answers, lambda: (self.place / "log").read_text()[-1500:])

    def build(self, job: Job) -> float:
        before = self._cpu()
        taken = 0.0 if job.base else unpack_packages(job.context)
        words: list[str | Path] = [BUILDKIT[1].build(), "--addr", self._address(), "build"]
        words += ["--frontend", "dockerfile.v0"]
        folder = write_dockerfile(job, self.place).parent
        words += ["--local", f"context={job.context}", "--local", f"dockerfile={folder}"]
        words += ["--progress", "plain", "--export-cache", "type=inline"]
        words += ["--output", f"type=image,name={job.reference},push=true"]
        if job.cached:
            words += ["--import-cache", f"type=registry,ref={job.reference}"]
        return taken + ask(words) + self._cpu() - before

    def end(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(60)
            self.daemon = None

    def _address(self) -> str:
        return f"unix://{self.place}/socket"

    def _answers(self) -> bool:
        words = [str(BUILDKIT[1].build()), "--addr", self._address(), "debug", "workers"]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def _cpu(self) -> float:
        assert self.daemon is not None, "forget() starts it"
        return float(sum(self.daemon.cpu_times()[:4]))


def wait_until(answers: Callable[[], bool], said: Callable[[], str], seconds: float = 60) -> None:
    """Raises RuntimeError with what was said where it never answers."""
    until = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > until:
            raise RuntimeError(f"no answer in {seconds} s: {said()}")
        time.sleep(0.05)


def part(builders: Mapping[str, Builder]) -> tuple[dict[str, Builder], dict[str, str]]:
    """Those that can be had, and why the others cannot."""
    absent = {name: why for name, one in builders.items() if (why := one.lacks())}
    return {name: one for name, one in builders.items() if name not in absent}, absent
