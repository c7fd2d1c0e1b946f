"""What CloudWatch refuses of metric alarms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.refusals.row import Found, RefusalExample, RefusalRow

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

SOURCE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"
DAY, WEEK, HOUR = 86_400, 604_800, 3600
PERCENTILE = re.compile(r"p(\d{1,2}(\.\d{0,10})?|100)")
OTHER_STATISTICS = re.compile(r"IQM|(tm|tc|ts|wm|TM|TC|TS|WM|PR|pr)[\d(].*")
ARN = re.compile(r"arn:[\w-]+:[\w-]+:.*")
ALARM = {
    "AlarmName": "slow",
    "Namespace": "AWS/SageMaker",
    "MetricName": "ModelLatency",
    "ExtendedStatistic": "p99",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 1000.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def _period(account: Surroundings, call: ApiCall) -> Found:
    period = call.parameters.get("Period")
    return {} if period is not None and period not in (10, 20, 30) and (period < 60 or period % 60) else None


def _horizon(account: Surroundings, call: ApiCall) -> Found:
    asked = call.parameters
    period, number = asked.get("Period") or 0, asked["EvaluationPeriods"]
    return {} if period < HOUR and period * number > DAY else None


def _long_horizon(account: Surroundings, call: ApiCall) -> Found:
    asked = call.parameters
    period, number = asked.get("Period") or 0, asked["EvaluationPeriods"]
    return {} if period >= HOUR and period * number > WEEK else None


def _points(account: Surroundings, call: ApiCall) -> Found:
    points = call.parameters.get("DatapointsToAlarm")
    return {} if points is not None and points > call.parameters["EvaluationPeriods"] else None


def _both_statistics(account: Surroundings, call: ApiCall) -> Found:
    return {} if {"Statistic", "ExtendedStatistic"} <= set(call.parameters) else None


def _percentile(account: Surroundings, call: ApiCall) -> Found:
    asked = call.parameters.get("ExtendedStatistic")
    known = asked is None or PERCENTILE.fullmatch(asked) or OTHER_STATISTICS.fullmatch(asked)
    return None if known else {"value": asked}


def _missing_data(account: Surroundings, call: ApiCall) -> Found:
    asked = call.parameters.get("TreatMissingData", "missing")
    return None if asked in ("breaching", "notBreaching", "ignore", "missing") else {"value": asked}


def _low_samples(account: Surroundings, call: ApiCall) -> Found:
    asked = call.parameters.get("EvaluateLowSampleCountPercentile", "evaluate")
    return None if asked in ("evaluate", "ignore") else {"value": asked}


def _action(account: Surroundings, call: ApiCall) -> Found:
    listed = [one for key in ("AlarmActions", "OKActions") for one in call.parameters.get(key, ())]
    wrong = [one for one in listed if not ARN.fullmatch(one)]
    return {"action": wrong[0]} if wrong else None


def _row(when: str, code: str, words: str, label: Any, find: Any, **refused: Any) -> RefusalRow:
    return RefusalRow(
        service="monitoring",
        operation="PutMetricAlarm",
        when=when,
        code=code,
        words=words,
        source=SOURCE,
        label=label,
        example=RefusalExample(refused={**ALARM, **refused}, passes=ALARM),
        find=find,
    )


ROWS = (
    _row(
        "its period is neither 10, 20 or 30 seconds nor whole minutes",
        "ValidationError",
        "Period must be 10, 20, 30 or a multiple of 60",
        "documented",
        _period,
        Period=90,
    ),
    _row(
        "periods of less than an hour reach back more than a day",
        "ValidationError",
        "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).",
        "documented",
        _horizon,
        EvaluationPeriods=1441,
    ),
    _row(
        "periods of an hour or more reach back more than a week",
        "ValidationError",
        "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800).",
        "documented",
        _long_horizon,
        Period=3600,
        EvaluationPeriods=169,
    ),
    _row(
        "more of its periods are to be bad than there are",
        "ValidationError",
        "DatapointsToAlarm must be less than or equal to EvaluationPeriods",
        "documented",
        _points,
        DatapointsToAlarm=4,
    ),
    _row(
        "it has a statistic and an extended one",
        "InvalidParameterCombination",
        "The parameters Statistic and ExtendedStatistic cannot be used together",
        "documented",
        _both_statistics,
        Statistic="Average",
    ),
    _row(
        "its percentile is above 100",
        "InvalidParameterValue",
        "The value {value} for parameter ExtendedStatistic is not supported.",
        "documented",
        _percentile,
        ExtendedStatistic="p101",
    ),
    _row(
        "missing data are to be treated in a way that there is not",
        "ValidationError",
        "Option {value} for parameter TreatMissingData is not supported.",
        "documented",
        _missing_data,
        TreatMissingData="good",
    ),
    _row(
        "few samples are to be treated in a way that there is not",
        "ValidationError",
        "Option {value} for parameter EvaluateLowSampleCountPercentile is not supported.",
        "documented",
        _low_samples,
        EvaluateLowSampleCountPercentile="never",
    ),
    _row(
        "an action is no ARN",
        "ValidationError",
        "Invalid arn syntax: {action}",
        "documented",
        _action,
        AlarmActions=["my-topic"],
    ),
)
