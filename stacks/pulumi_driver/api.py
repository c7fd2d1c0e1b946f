"""Pulumi's Automation API, imported when first needed."""

from __future__ import annotations

import importlib
from typing import Any


def pulumi_automation() -> Any:
    """The module."""
    return importlib.import_module("pulumi.automation")
