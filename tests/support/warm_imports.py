"""All that commands and forked tests import, brought in once; imported by nobody but the process that is forked."""

from __future__ import annotations

import gc
import importlib
import pkgutil

FIRST = (
    "appautoscaling",
    "budgets",
    "cloudwatch",
    "ec2",
    "ecr",
    "eks",
    "iam",
    "kms",
    "s3",
    "sagemaker",
    "sns",
    "ssm",
)
"""Of pulumi_aws, which loads a part of itself when somebody asks that part for a name."""
OTHERS = ("boto3", "grpc", "onnx", "onnxruntime", "pandas", "pulumi.automation", "torch")

for room in ("modelpack", "infra", "stacks", "cli"):
    package = importlib.import_module(room)
    for found in pkgutil.walk_packages(package.__path__, f"{room}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
for name in OTHERS:
    importlib.import_module(name)
for name in FIRST:
    hasattr(getattr(importlib.import_module("pulumi_aws"), name), "anything")
gc.freeze()  # what is shared is not looked through, hence not copied
