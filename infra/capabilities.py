"""What a spec may ask of a target that not every target has."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """In words that end "cannot ..."; by which keys it is asked for: `stacks/reading/rules.py`."""

    SCALE_TO_ZERO = "scale to zero"
    SCALE_BY_REQUESTS = "scale by requests per second"
    SALE_DAYS = "scale by a schedule"
    ALARMS = "watch a release by alarms"
    ALARM_TOPIC = "tell an SNS topic of alarms"
    GUARDRAILS = "watch the use case's own guardrails"
    BLUE_GREEN = "keep the old servers through a bake"
    CANARY = "move traffic by canary"
    CANARY_STEPS = "move traffic by canary in several steps"
    LINEAR = "move traffic in equal steps"
    ROLLING = "replace servers in batches"
    SHADOW = "copy requests to a release that answers nobody"
    AUTO = "choose by quota how traffic moves"
    SCALE_BY_CONCURRENCY = "scale by requests under way"
    SCALE_BY_STEPS = "scale by steps"
    SERVING_NETWORK = "put servers into subnets of yours"
    ISOLATION = "keep servers from every network"
    VOLUME_KEYS = "encrypt servers' volumes with a key of yours"
    CAPTURE = "keep requests and answers"
    START_TIMEOUTS = "be told how long a server may take to start"
    HOST_IMAGES = "choose a host image"
    AWS_SECRETS = "look secrets up in AWS"
    AWS = "run on AWS"
    CLUSTERS = "run on a cluster that is there already"
    NAMESPACES = "be in a namespace"
