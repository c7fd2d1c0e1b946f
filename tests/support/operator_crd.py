"""The Prometheus Operator's own definitions of its kinds, out of its Go module, whose sum `go` checks."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

MODULE = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
FILE = "example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml"


def read_definition(plural: str) -> dict[str, Any]:
    """The CustomResourceDefinition; skips where it is not to be had."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no go here, to fetch the Prometheus Operator's module")
    done = subprocess.run([go, "mod", "download", "-json", MODULE], cwd="/", capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no {MODULE}: {done.stdout.decode()[-300:]}")
    text = (Path(json.loads(done.stdout)["Dir"]) / FILE.format(plural=plural)).read_text()
    found: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe").load(text)))
    return found


def close(schema: Any) -> Any:
    """A structural schema whose unknown fields are mistakes, as the API server's strict validation has them."""
    if isinstance(schema, list):
        return [close(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(one) for key, one in schema.items()}
    return closed | ({"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {})
