"""Samples of the AWS table's rows: what one says, and the world that makes them with what they need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from registry_login import login

from infra.rehearsal.engine.provider import CreateResponse, ResourceIdentity, Values
from infra.rehearsal.providers.aws.provider import AwsProvider

REGION = "us-east-1"
PROJECT = {"ecomdeploy:project": "shop", "ecomdeploy:stack": "local"}


def who(name: str) -> ResourceIdentity:
    """The resource `name` of the tests' stack."""
    return ResourceIdentity(
        urn=f"urn:pulumi:local::shop::t::{name}", name=name, project="shop", stack="local"
    )


@dataclass
class World:
    """Makes samples and what they need, each once. `made` by sample name."""

    provider: AwsProvider
    samples: Mapping[str, Sample]
    made: dict[str, CreateResponse] = field(default_factory=dict)
    inputs: dict[str, Values] = field(default_factory=dict)

    def __getitem__(self, name: str) -> CreateResponse:
        if name not in self.made:
            self.inputs[name] = self.checked(name)
            self.made[name] = self.provider.create(
                self.samples[name].type, who(name), self.inputs[name], preview=False
            )
        return self.made[name]

    def id(self, name: str) -> str:
        return self[name].id

    def output(self, name: str, key: str) -> Any:
        return self[name].outputs[key]

    def image(self, content: str) -> str:
        """A tiny image in the samples' repository, pushed as an OCI client would; by digest."""
        self["repository"]
        registry = self.provider.environment["ECOMDEPLOY_REGISTRY"]
        repository = f"http://{registry}/v2/{self.output('repository', 'name')}"
        headers = login(self.provider.environment)
        described = []
        for blob in (b"{}", content.encode()):
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            sent = httpx.post(f"{repository}/blobs/uploads/?digest={digest}", content=blob, headers=headers)
            sent.raise_for_status()
            described.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(blob)})
        media = "application/vnd.oci.image.manifest.v1+json"
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": media, "config": described[0], "layers": described[1:]}
        )
        digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
        answer = httpx.put(
            f"{repository}/manifests/{digest}", content=manifest, headers={**headers, "Content-Type": media}
        )
        answer.raise_for_status()
        return f"{registry}/{self.output('repository', 'name')}@{digest}"

    def checked(self, name: str, **patch: Any) -> Values:
        sample = self.samples[name]
        given = {**sample.inputs(self), **patch}
        if self.provider.table.resources[sample.type].tag:
            given.setdefault("tags", {**PROJECT, "ecomdeploy:resource": name})
        checked = self.provider.check(sample.type, who(name), None, given, fresh_name=False)
        assert not checked.failures
        return checked.inputs


@dataclass(frozen=True)
class Sample:
    """`update` and `replace` patch the inputs; `edit` changes the property `seen` outside Pulumi."""

    type: str
    inputs: Callable[[World], Values]
    update: Callable[[World], Values] | None = None
    replace: Values = field(default_factory=dict)
    edit: Callable[[World, Callable[[str], Any], str], object] | None = None
    seen: str = ""
