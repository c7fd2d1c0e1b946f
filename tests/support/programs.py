"""Our programs, from copies of their folders, on the embedded engine against a local cloud of their own."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from pulumi import automation
from registry_login import login

from infra.aws_session import AwsSession
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.providers.aws.provider import AwsProviders

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEAKING = f"{ROOT / 'tests' / 'support' / 'speaking.py'}:SpeakingHost"
"""What runs model servers here: threads that answer over HTTP."""
LOCAL = {"environment": "local", "cloud": "local", "region": "us-east-1", "account": "123456789012"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Place:
    """One local cloud and the folder that programs and Pulumi state live in."""

    cloud: LocalCloud
    folder: pathlib.Path

    @property
    def variables(self) -> dict[str, str]:
        return self.cloud.environment()

    def client(self, service: str) -> Any:
        return AwsSession(self.variables).client(service)

    def stack(self, program: str, name: str, settings: Mapping[str, Any]) -> automation.Stack:
        """The program's stack with these settings, made if need be."""
        folder = self.folder / "programs" / program
        shutil.copytree(ROOT / "stacks" / "programs" / program, folder, dirs_exist_ok=True)
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        variables = {
            **self.variables,
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
        }
        made = automation.create_or_select_stack(
            name,
            work_dir=str(folder),
            opts=automation.LocalWorkspaceOptions(
                pulumi_command=EmbeddedPulumiCommand(AwsProviders()), env_vars=variables
            ),
        )
        document = json.dumps({**LOCAL, **settings})
        made.set_config(f"ecomdeploy-{program}:settings", automation.ConfigValue(document))
        return made

    def mutating(self) -> int:
        return int(self.cloud.counts()["mutating"])

    def push(self, repository: str, word: str) -> str:
        """A tiny image, pushed as an OCI client would; its reference by digest."""
        registry = self.variables["ECOMDEPLOY_REGISTRY"]
        base = f"http://{registry}/v2/{repository}"
        headers = login(self.variables)
        described = []
        for blob in (json.dumps({"os": "linux", "note": word}).encode(), word.encode()):
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            sent = httpx.post(
                f"{base}/blobs/uploads/", params={"digest": digest}, content=blob, headers=headers
            )
            sent.raise_for_status()
            described.append({"digest": digest, "size": len(blob)})
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **described[0]},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **described[1]}],
            }
        ).encode()
        headers["Content-Type"] = MANIFEST
        httpx.put(f"{base}/manifests/{word}", content=manifest, headers=headers).raise_for_status()
        return f"{registry}/{repository}@sha256:{hashlib.sha256(manifest).hexdigest()}"


def changes(stack: automation.Stack) -> dict[str, str]:
    """What a preview would do, by resource name: "update", "replace" ... (without what stays)."""
    events: list[Any] = []
    stack.preview(on_event=events.append)
    found: dict[str, str] = {}
    for event in events:
        if step := event.resource_pre_event:
            operation = str(step.metadata.op.value)
            if operation != "same" and operation not in ("create-replacement", "delete-replaced"):
                found[step.metadata.urn.rpartition("::")[2]] = operation
    return found
