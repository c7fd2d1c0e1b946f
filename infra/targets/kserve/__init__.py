"""KServe as a target: an InferenceService of its own for each release, one HTTPRoute with the weights."""

from infra.targets.kserve.target import KServe as KServe
