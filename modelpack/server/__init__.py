"""What runs in the container. Imports only itself, `modelpack.golden` and the wheels named here.

`WHEELS` and `APP_FILES` are what an image needs to run `python3 -m modelpack.server`; the packing side reads
them, so that what is packed and what is imported stand in one place.
"""

from __future__ import annotations

WHEELS: tuple[str, ...] = ("msgspec", "uvicorn", "httptools", "uvloop", "numpy", "onnxruntime")
"""Distributions to lock; their own requirements come with them."""

APP_FILES: tuple[str, ...] = (
    "modelpack/__init__.py",
    "modelpack/golden.py",
    "modelpack/server/__init__.py",
    "modelpack/server/__main__.py",
    "modelpack/server/app.py",
    "modelpack/server/asgi.py",
    "modelpack/server/batch.py",
    "modelpack/server/contract.py",
    "modelpack/server/decode.py",
    "modelpack/server/log.py",
    "modelpack/server/main.py",
    "modelpack/server/metrics.py",
    "modelpack/server/openinference.py",
    "modelpack/server/ready.py",
    "modelpack/server/refusal.py",
    "modelpack/server/runtime.py",
    "modelpack/server/sagemaker.py",
    "modelpack/server/seal.py",
)
"""Paths below the repository's root and below `/opt/ecomdeploy/app`; a test compares them with the folder."""
