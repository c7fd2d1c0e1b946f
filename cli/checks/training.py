"""Whether models can be trained here; everything else works without torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from cli.checks.base import CheckContext, Finding


def check(context: CheckContext) -> Finding:
    from modelpack.inputs.extras import with_extra

    try:
        return Finding("training", "ok", f"torch {version('torch')}")
    except PackageNotFoundError:
        what = (
            "no torch: your own .onnx, XGBoost and LightGBM models ship; training and torch's own files need"
        )
        return Finding("training", "ok", f"{what} {with_extra('train')}")
