"""Pulumi's Automation API, imported when first needed."""

from __future__ import annotations

import importlib
import os
from typing import Any


def hush_grpc() -> None:
    """gRPC would tell of every ended program on stderr; it asks this variable once, when it is first imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def pulumi_automation() -> Any:
    """The module."""
    hush_grpc()
    return importlib.import_module("pulumi.automation")
