"""Settings of the three stacks, as `ecomdeploy` writes them for a small shop on the local cloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import programs

NAME = "shop-local"
BASE = {"service": "shop", "bucket": f"{NAME}-{programs.LOCAL['account']}"}
PLATFORM = {
    "name": "eco-local",
    "platform": {"gpu_pools": [{"name": "g6", "instances": ["g6.xlarge"], "min": 0, "max": 4}]},
}
ROLE = f"arn:aws:iam::{programs.LOCAL['account']}:role/{NAME}-serving"


def service_settings(images: Sequence[str]) -> dict[str, Any]:
    """A release of each image, the first one live."""
    releases = [
        {
            "key": letter * 12,
            "image": image,
            "instance": "ml.c7i.xlarge",
            "count": 1,
            "environment": {},
            "initial": letter == "a",
        }
        for letter, image in zip("abcdef", images, strict=False)
    ]
    return {
        "service": "shop",
        "base": {"role_arn": ROLE},
        "target": "sagemaker",
        "scale": {"min": 1, "max": 4, "target_rps": 100.0},
        "alarms": {"error_rate": 0.01, "p99_ms": 50.0},
        "releases": releases,
    }
