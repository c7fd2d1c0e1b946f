"""A small cloud in a folder, and its provider: several processes, engines and kills may share it."""

# ruff: noqa: A002 - `type` and `id` are the protocol's own words

from __future__ import annotations

import fcntl
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from infra.rehearsal.engine.provider import (
    UNKNOWN,
    CheckFailure,
    CheckResponse,
    CreateResponse,
    DiffResponse,
    KnownResource,
    PartialFailure,
    ProviderError,
    ReadResponse,
    ResourceIdentity,
    Values,
)

PACKAGE = "lab"
VERSION = "1.0.0"
FOLDER = "LAB_CLOUD"
"""The variable that names the cloud's folder."""
IMMUTABLE = frozenset({"name", "kind"})
MUTATING = ("create", "update", "delete", "adopted")
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Fault:
    """What happens in one call ("create b"): it is refused, leaves something half made, or never answers."""

    when: Literal["refuse", "partial", "hang-before", "hang-after"]
    code: str = "Nope"
    message: str = "the cloud says no"


@dataclass
class FileCloud:
    """`things` by id, `calls` in order, faults that are planted."""

    folder: Path
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def open(self) -> Iterator[dict[str, Any]]:
        """The cloud's document, alone; what is changed in it is kept."""
        with self.lock, (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / "cloud.json"
            document = json.loads(path.read_text()) if path.exists() else {"things": {}, "made": {}}
            yield document
            path.write_text(json.dumps(document))

    @property
    def things(self) -> dict[str, Any]:
        with self.open() as document:
            return document["things"]

    def seed(self, identity: str, **inputs: Any) -> None:
        """Something that nobody's program made."""
        with self.open() as document:
            document["things"][identity] = {
                "type": f"{PACKAGE}:index:Thing", "urn": "", "inputs": inputs, "region": "home"
            }  # fmt: skip

    def plant(self, **faults: Fault) -> None:
        """From now on these faults and no others; without any the cloud is well. `create_b` is the call "create b"."""
        told = {name.replace("_", " ", 1): vars(fault) for name, fault in faults.items()}
        (self.folder / "faults.json").write_text(json.dumps(told))

    def be_strict(self) -> None:
        """From now on no provider adopts what is there already."""
        (self.folder / "strict").touch()

    def note(self, call: str) -> None:
        with self.lock, (self.folder / "calls").open("a") as calls:
            calls.write(f"{call}\n")

    def calls(self) -> list[str]:
        """Those that changed something, or tried to."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def hanging(self) -> Path:
        """There once a call hangs."""
        return self.folder / "hanging"

    def begin(self, call: str) -> Fault | None:
        """A call comes: the fault that is planted for it, raised already if it is a refusal."""
        self.note(call)
        path = self.folder / "faults.json"
        planted = json.loads(path.read_text()).get(call) if path.exists() else None
        if planted is None:
            return None
        fault = Fault(**planted)
        if fault.when == "refuse":
            raise ProviderError(fault.code, fault.message)
        if fault.when == "hang-before":
            self.hang()
        return fault

    def end(self, fault: Fault | None, identity: str, outputs: Values) -> None:
        """The cloud has done what it was asked."""
        if fault is not None and fault.when == "partial":
            raise PartialFailure("Half", "made, but never ready", id=identity, outputs=outputs)
        if fault is not None and fault.when == "hang-after":
            self.hang()

    def hang(self) -> None:
        """Until the engine has been killed: nobody hears the answer."""
        self.hanging.touch()
        while self.hanging.exists():
            time.sleep(POLL_SECONDS)
        raise ProviderError("Gone", "the engine was killed")


class FileCloudProvider:
    """One configured provider. Outputs are the inputs, `arn` and twice the `size`."""

    package = PACKAGE
    inside = False

    def __init__(self, cloud: FileCloud) -> None:
        self.cloud = cloud
        self.region = "home"

    def configure(self, inputs: Mapping[str, Any]) -> None:
        self.region = str(inputs.get("region", "home"))
        if self.region == "nowhere":
            raise ProviderError("BadRegion", "there is no region nowhere")

    def supports(self, type: str) -> bool:
        return type.startswith(f"{PACKAGE}:")

    def check(
        self, type: str, who: ResourceIdentity, olds: Values | None, news: Values, *, fresh_name: bool
    ) -> CheckResponse:
        if "unwanted" in news:
            return CheckResponse(news, (CheckFailure("unwanted", "is not a property of this type"),))
        if "name" in news:
            return CheckResponse(dict(news))
        if olds and "name" in olds and not fresh_name:
            return CheckResponse({**news, "name": olds["name"]})
        return CheckResponse({**news, "name": f"{who.name}-{secrets.token_hex(4)[:7]}"})

    def diff(self, old: KnownResource, news: Values, *, ignored: tuple[str, ...] = ()) -> DiffResponse:
        changed = tuple(key for key in sorted({*old.inputs, *news}) if old.inputs.get(key) != news.get(key))
        replaces = tuple(key for key in changed if key in IMMUTABLE)
        return DiffResponse(changed, replaces, bool(replaces) and old.type == f"{PACKAGE}:index:Fixed")

    def outputs(self, identity: str, inputs: Values) -> Values:
        size = inputs.get("size") or 0
        doubled = size * 2 if isinstance(size, int | float) else size
        return {**inputs, "arn": f"arn:{PACKAGE}:{self.region}:{identity}", "size2": doubled}

    def create(self, type: str, who: ResourceIdentity, inputs: Values, *, preview: bool) -> CreateResponse:
        if preview:
            return CreateResponse("", {**inputs, "arn": UNKNOWN, "size2": UNKNOWN})
        fault = self.cloud.begin(f"create {who.name}")
        identity = self._adopt(type, who, inputs)
        if not identity:
            with self.cloud.open() as document:
                count = document["made"][who.name] = document["made"].get(who.name, 0) + 1
                identity = f"{who.name}-id{count}"
                document["things"][identity] = {
                    "type": type, "urn": who.urn, "inputs": inputs, "region": self.region
                }  # fmt: skip
        outputs = self.outputs(identity, inputs)
        self.cloud.end(fault, identity, outputs)
        return CreateResponse(identity, outputs)

    def _adopt(self, type: str, who: ResourceIdentity, inputs: Values) -> str:
        wanted = (type, inputs["name"], self.region)
        for identity, thing in self.cloud.things.items():
            if (thing["type"], thing["inputs"].get("name"), thing["region"]) == wanted:
                if thing["urn"] != who.urn or (self.cloud.folder / "strict").exists():
                    raise ProviderError("AlreadyExists", f"{inputs['name']} belongs to another")
                self.cloud.note(f"adopted {who.name}")
                return identity
        return ""

    def read(self, known: KnownResource) -> ReadResponse | None:
        self.cloud.begin(f"read {known.id}")
        thing = self.cloud.things.get(known.id)
        if thing is None or thing["region"] != self.region:
            return None
        return ReadResponse(known.id, dict(thing["inputs"]), self.outputs(known.id, thing["inputs"]))

    def update(
        self, old: KnownResource, news: Values, *, preview: bool, ignored: tuple[str, ...] = ()
    ) -> Values:
        if preview:
            return self.outputs(old.id, news)
        fault = self.cloud.begin(f"update {old.id}")
        with self.cloud.open() as document:
            if old.id not in document["things"]:
                raise ProviderError("NotFound", f"{old.id} is not there")
            document["things"][old.id]["inputs"] = dict(news)
        outputs = self.outputs(old.id, news)
        self.cloud.end(fault, old.id, outputs)
        return outputs

    def delete(self, known: KnownResource) -> None:
        fault = self.cloud.begin(f"delete {known.id}")
        with self.cloud.open() as document:
            document["things"].pop(known.id, None)
        self.cloud.end(fault, known.id, known.outputs)

    def invoke(self, token: str, args: Values) -> Values:
        if args.get("name") == "missing":
            raise ProviderError("NotFound", "there is nothing of that name")
        return {"echo": dict(args), "number": 7, "arn": f"arn:{PACKAGE}:data:{args.get('name')}"}


def file_cloud(
    package: str, configuration: Mapping[str, Any], environment: Mapping[str, str]
) -> FileCloudProvider:
    """The factory: the cloud's folder is in the environment."""
    if package != PACKAGE:
        raise ProviderError("", f"there is no provider for package {package}")
    return FileCloudProvider(FileCloud(Path(environment[FOLDER])))
