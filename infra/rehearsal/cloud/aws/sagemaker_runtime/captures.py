"""Data capture of endpoints: requests and answers as JSON Lines in the emulated S3.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html (documented): the place
`<prefix>/<endpoint>/<variant>/yyyy/mm/dd/hh/<file>.jsonl`, and what a line has.
"""

from __future__ import annotations

import base64
import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.rehearsal.cloud.addresses import ACCOUNT

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings
    from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Exchange, WeightedServer

GATHER_SECONDS = 0.5
"""How long lines are gathered for one object; AWS takes minutes."""
Place = tuple[str, str]
"""Bucket, and the folder of an endpoint's variant."""


@dataclass
class Captures:
    """`configuration`: what is asked for of what answers for an endpoint; {} where nothing is. Thread-safe; an answer
    never waits for it."""

    account: Surroundings
    configuration: Callable[[tuple[str, str], WeightedServer], Mapping[str, Any]]
    _lines: dict[Place, list[str]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: tuple[str, str], way: WeightedServer, exchange: Exchange) -> None:
        """Keep a request and its answer, if they are to be kept."""
        asked = self.configuration(key, way)
        if not asked.get("EnableCapture") or random.random() * 100 >= asked["InitialSamplingPercentage"]:  # noqa: S311 - a sample, no secret
            return
        bucket, _, prefix = asked["DestinationS3Uri"].removeprefix("s3://").partition("/")
        place = (bucket, "/".join(filter(None, (prefix.strip("/"), key[1], way.variant))))
        with self._lock:
            is_first = not self._lines
            self._lines[place].append(line(asked, exchange, datetime.now(UTC)))
        if is_first:
            self.account.background("captures", self._write_soon)

    def _write_soon(self) -> None:
        self.account.ending.wait(GATHER_SECONDS)
        with self._lock:
            gathered, self._lines = self._lines, defaultdict(list)
        for (bucket, folder), lines in gathered.items():
            with self.account.lock:
                write(bucket, folder, lines)
            self.account.changed.set()


def write(bucket: str, folder: str, lines: list[str]) -> None:
    """One object of these lines."""
    from moto.s3.models import s3_backends

    now = datetime.now(UTC)
    name = f"{folder}/{now:%Y/%m/%d/%H}/{now:%M-%S}-{now.microsecond // 1000:03}-{uuid4()}.jsonl"
    s3_backends[ACCOUNT]["aws"].put_object(bucket, name, "".join(f"{one}\n" for one in lines).encode())


def line(asked: Mapping[str, Any], exchange: Exchange, when: datetime) -> str:
    """One request, as a line of JSON."""
    modes = {each["CaptureMode"] for each in asked["CaptureOptions"]}
    types = asked.get("CaptureContentTypeHeader") or {}
    data = {}
    for mode, (content_type, content) in (
        ("Input", exchange.request),
        ("Output", exchange.answer),
    ):
        if mode in modes:
            data[f"endpoint{mode}"] = side(mode.upper(), content_type, content, types)
    event = {"eventId": str(uuid4()), "inferenceTime": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps({"captureData": data, "eventMetadata": event, "eventVersion": "0"})


def side(mode: str, content_type: str, content: bytes, types: Mapping[str, Any]) -> dict[str, str]:
    """A request or an answer: as text where its type is said to be one, else in base64."""
    plain = content_type.partition(";")[0].strip()
    encoding = next(
        (
            word
            for word, key in (("JSON", "JsonContentTypes"), ("CSV", "CsvContentTypes"))
            if plain in types.get(key, ())
        ),
        "BASE64",
    )
    text = base64.b64encode(content).decode() if encoding == "BASE64" else content.decode("utf-8", "replace")
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}
