"""The most that a stranger's model may be."""

from __future__ import annotations

LARGEST = 10_000_000_000
"""Bytes. SageMaker takes images up to 10 GB (docs.aws.amazon.com/sagemaker/latest/dg/large-model-inference-
container-docs.html).
"""
MOST_FILES = 10_000
MEMORY = 2_000_000_000
"""Bytes that one row of a small model may take, and that reading one may, beside `TIMES` its size."""
TIMES = 6
SECONDS = 600
"""Processor time for reading a model."""
PROOF_SECONDS = 60
"""Processor time for preparing a model and answering one row."""
