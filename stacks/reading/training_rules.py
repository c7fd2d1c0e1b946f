"""Rules of `model.train`: what is asked of a job goes with a place that has jobs.

They read the plain document, as those of rules.py do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.reading.document import Value

Found = Iterator[tuple[Value, str, str]]
OF_A_JOB = ("instance", "spot", "max_seconds", "max_wait")
INSTANCE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")


def training(document: Value) -> Found:
    """What is wrong with the key `model.train`."""
    at = document.at("model", "train")
    if at is None or not isinstance(at.data, dict):
        return
    place = at.at("on")
    if place is None or place.data in (None, "local"):
        for key in OF_A_JOB:
            if given := at.at(key):
                yield given, "is of a training job, and this trains here", "on: sagemaker, or leave it out"
        return
    if place.data != "sagemaker":
        return  # the type says so
    cloud = document.at("environment", "cloud")
    if cloud and cloud.data == "cluster":
        yield place, "needs AWS, and this environment is a cluster", "on: local"
    source = document.at("data", "from")
    if source and source.data:
        hint = "data: {path: ...}, or train here: on: local"
        yield place, "brings data.path to the job, and data.from not yet", hint
    instance = at.at("instance")
    if instance and isinstance(instance.data, str) and not INSTANCE.fullmatch(instance.data):
        yield instance, "is no instance type of SageMaker", "ml.c7i.xlarge"
    yield from waits(at)


def waits(at: Value) -> Found:
    """A spot job must be given at least the time that it may train."""
    spot, wait, most = at.at("spot"), at.at("max_wait"), at.at("max_seconds")
    if wait and not (spot and spot.data is True):
        yield wait, "is of a spot training", "spot: true, or leave it out"
    numbers = [one.data for one in (wait, most) if one and isinstance(one.data, int)]
    if wait and len(numbers) == 2 and numbers[0] < numbers[1]:
        yield wait, "is less than model.train.max_seconds", "waiting and training together take longer"
