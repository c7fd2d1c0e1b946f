"""A pack's answers without a server process: the fake of `run.Answerer`, by the server's own decoders and an engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from modelpack.server.engines.base import Arrays
from modelpack.server.http import sagemaker
from modelpack.server.http.instances import Instances
from modelpack.server.http.openinference import OpenInference
from modelpack.server.http.refusal import Refusal
from modelpack.server.rows import in_cuts
from modelpack.server.signature import ModelSignature
from stacks.scoring.columns import INVOCATIONS, Body
from stacks.scoring.run import Reply


@dataclass
class InProcess:
    """`run`: the model. `paths` and `rows` tell what was asked."""

    signature: ModelSignature
    run: Callable[[Arrays], Arrays]
    paths: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def ask(self, body: Body) -> Reply:
        self.paths.append(body.path)
        try:
            if body.path == INVOCATIONS:
                feeds, count = Instances(self.signature.inputs).decode(body.data)
                self.rows.append(count)
                return Reply(200, sagemaker.predictions(self._answer(feeds)))
            bodies = OpenInference(self.signature)
            asked, feeds, count = bodies.decode(body.data, str(body.header).encode() if body.header else b"")
            self.rows.append(count)
            return Reply(200, *bodies.encode(asked, self._answer(feeds)))
        except Refusal as refusal:
            return Reply(refusal.status, json.dumps({"error": refusal.reason}).encode())

    def _answer(self, feeds: Arrays) -> Arrays:
        return in_cuts(self.run, feeds, self.signature.max_batch)
