"""Releases on Amazon SageMaker endpoints."""

from infra.targets.sagemaker.target import SageMaker as SageMaker
