"""Pulumi's Automation API, imported when first needed."""

from __future__ import annotations

import importlib
import os
from typing import Any


def pulumi_automation() -> Any:
    """The module. gRPC would tell of every ended program on stderr."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    return importlib.import_module("pulumi.automation")
