"""The model host, but its trainings are processes of this interpreter and not of an image: `python -m
modelpack.training` where the job is one of ours, else `training_program.py`."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.rehearsal.cloud.servers.host import DRAIN_SECONDS, NO_ERRAND, Errand, ModelServer
from infra.rehearsal.cloud.servers.models import ModelHost
from modelpack.training.container import VARIABLE

PROGRAM = (sys.executable, str(Path(__file__).with_name("training_program.py")))
OURS = (sys.executable, "-m", "modelpack.training")
ROOT = Path(__file__).resolve().parents[2]


class TrainingHost(ModelHost):
    """What a job's program writes is in the log of its name, as that of a server."""

    def __init__(self, folder: Path, registry: str) -> None:
        super().__init__(folder, registry)
        self._started = itertools.count(1)
        self._programs: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        image: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        errand: Errand = NO_ERRAND,
    ) -> ModelServer:
        if errand.folder is None:
            return super().start(image, environment, secrets, errand)
        given = json.loads((errand.folder / "input" / "config" / "hyperparameters.json").read_text())
        variables = {**os.environ, **environment, VARIABLE: str(errand.folder), "PYTHONPATH": str(ROOT)}
        number = f"training-{next(self._started)}"
        self.log(number).parent.mkdir(parents=True, exist_ok=True)
        with self.log(number).open("ab") as log:
            program = OURS if "usecase" in given else PROGRAM
            process = subprocess.Popen(program, env=variables, stdout=log, stderr=log)
        digest = image.rpartition("@")[2]
        server = ModelServer(id=number, port=1, pid=process.pid, isolation="fake", image=image, digest=digest)
        self._programs[number] = process
        return server

    def status(self, server: ModelServer) -> int | None:
        program = self._programs.get(server.id)
        if program is None:
            return super().status(server)
        code = program.poll()
        return 128 - code if code is not None and code < 0 else code

    def stop(self, server: ModelServer, seconds: float = DRAIN_SECONDS) -> int | None:
        program = self._programs.pop(server.id, None)
        if program is None:
            return super().stop(server, seconds)
        program.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(min(seconds, 3))
        program.kill()
        return program.wait()

    def stop_all(self) -> None:
        for number in tuple(self._programs):
            if program := self._programs.pop(number, None):
                program.kill()
                program.wait()
        super().stop_all()
