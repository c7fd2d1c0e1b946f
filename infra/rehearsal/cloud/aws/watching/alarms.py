"""Metric alarms: looked at as their periods end, their state changed, told and acted upon.

Sources: "Evaluating an alarm", "Alarm actions", API_DescribeAlarmHistory (documented). CloudWatch looks every minute,
at alarms of shorter periods every ten seconds; a metric of AWS's reaches it a minute or two late, here at once.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.pace import CloudClock
from infra.rehearsal.cloud.aws.watching.expressions import BadExpression, Line, MathRun, MetricQuery
from infra.rehearsal.cloud.aws.watching.judgement import ALARM, FURTHER, INSUFFICIENT, judge
from infra.rehearsal.cloud.aws.watching.notices import LeftState, notify
from infra.rehearsal.cloud.aws.watching.points import Points, moment
from infra.rehearsal.cloud.aws.watching.queries import find_watched, period_of, queries_of
from infra.rehearsal.cloud.aws.watching.reasons import (
    COMPARED,
    AlarmPoint,
    Grounds,
    breaches,
    explain,
    explain_as_data,
)
from infra.rehearsal.cloud.aws.watching.statistics import MetricSamples, UnknownStatistic, enough_samples

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

MINUTE, SHORT = 60, 10
"""How often alarms are looked at: those of whole minutes, and those of less; seconds of AWS's."""
LONGEST_PAUSE, SHORTEST_PAUSE = 1.0, 0.05
HISTORY_KEPT = 500
Named = tuple[str, str]
"""Region and name of an alarm."""


@dataclass
class AlarmHistory:
    """What happened to alarms, newest last, in the API's own words; part of the snapshot."""

    items: list[dict[str, Any]] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)

    def add(self, region: str, alarm: str, kind: str, summary: str, data: dict[str, Any]) -> None:
        self.regions.append(region)
        self.items.append(
            {
                "AlarmName": alarm,
                "AlarmType": "MetricAlarm",
                "Timestamp": datetime.now(UTC),
                "HistoryItemType": kind,
                "HistorySummary": summary,
                "HistoryData": json.dumps(data),
            }
        )
        del self.items[:-HISTORY_KEPT], self.regions[:-HISTORY_KEPT]

    def rang(self, region: str, alarm: str, since: datetime) -> bool:
        """Whether an alarm has come into ALARM since then, wherever it is now."""
        return any(
            item["AlarmName"] == alarm
            and item["Timestamp"] >= since
            and item["HistorySummary"].endswith(f" to {ALARM}")
            for item in self.of(region)
        )

    def of(self, region: str) -> list[dict[str, Any]]:
        return [item for where, item in zip(self.regions, self.items, strict=True) if where == region]


class AlarmWatch:
    """Looks at every alarm of the account. Its methods are called under the account's lock, `run` without it."""

    def __init__(self, account: Surroundings, history: AlarmHistory) -> None:
        self.account = account
        self.clock: CloudClock = account.clock
        self.points = Points(account.invocations.metrics, account.invocations.logged)
        self.history = history
        self.closed = False
        self._seen: dict[Named, tuple[float, int]] = {}
        """The pace and the tick of the last look at each alarm."""

    def run(self) -> None:
        """Look again and again, until the account is emptied or the daemon ends."""
        while not self.closed:
            with self.account.lock:
                if not self.closed:
                    self.look()
                pause = self._until_next()
            if self.account.ending.wait(min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)):
                return

    def look(self) -> None:
        """Evaluate every alarm whose time has come."""
        for region, alarm in self._all():
            if not self._due(region, alarm):
                continue
            try:
                self._evaluate(region, alarm)
            except Exception:  # whatever one alarm is made of, the others are looked at
                traceback.print_exc()

    def forget(self, region: str, name: str) -> None:
        """The alarm was made or changed: its next look is the first."""
        self._seen.pop((region, name), None)

    def change(self, region: str, alarm: Any, state: str, reason: str, data: str) -> None:
        """Into a state: the alarm says so, its history tells it, and its actions are carried out."""
        old = LeftState.before(region, alarm)
        alarm.update_state(reason, data, state)
        self.tell(old, alarm)

    def tell(self, old: LeftState, alarm: Any) -> None:
        """What follows from a state that has changed."""
        if old.state == alarm.state_value:
            return
        alarm.state_transitioned_timestamp = alarm.state_updated_timestamp
        self.history.add(
            old.region,
            alarm.name,
            "StateUpdate",
            f"Alarm updated from {old.state} to {alarm.state_value}",
            old.as_data(alarm),
        )
        for summary, told in notify(old, alarm):
            self.history.add(old.region, alarm.name, "Action", summary, told)
        self.account.changed.set()

    def _all(self) -> list[tuple[str, Any]]:
        """Every alarm with a threshold: composite ones, and bands of anomalies, are kept, not evaluated."""
        from moto.cloudwatch.models import cloudwatch_backends

        return [
            (region, alarm)
            for region, backend in list(cloudwatch_backends[ACCOUNT].items())
            for alarm in list(backend.alarms.values())
            if alarm.comparison_operator in COMPARED and find_watched(queries_of(alarm))
        ]

    def _until_next(self) -> float:
        """Seconds until the next look at any of them is due."""
        now = self.clock.wall()
        ends = [every - now % every for _, alarm in self._all() if (every := self._every(alarm))]
        return min(ends, default=1000) / 1000

    def _due(self, region: str, alarm: Any) -> bool:
        """Whether a look is due; a change of pace begins the count anew, and so does whoever is new."""
        tick = self.clock.wall() // self._every(alarm)
        was = self._seen.get((region, alarm.name))
        self._seen[region, alarm.name] = (self.clock.pace, tick)
        return was is not None and was[0] == self.clock.pace and was[1] < tick

    def _every(self, alarm: Any) -> int:
        return self.clock.period(MINUTE if period_of(queries_of(alarm)) >= MINUTE else SHORT)

    def _evaluate(self, region: str, alarm: Any) -> None:
        every = self._every(alarm)
        end = self.clock.wall() // every * every
        width, periods = self.clock.period(period_of(queries_of(alarm))), int(alarm.evaluation_periods)
        times = range(end - (periods + FURTHER) * width, end, width)
        points = self._points(region, alarm, times)
        if points is None:
            return
        needed, missing = int(alarm.datapoints_to_alarm or periods), alarm.treat_missing_data or "missing"
        bad = [
            None if point is None else breaches(point.value, alarm.comparison_operator, alarm.threshold)
            for point in points
        ]
        verdict = judge(bad, periods=periods, needed=needed, missing=missing)
        if verdict.state in (None, alarm.state_value):
            return
        used = [point for place in verdict.used if (point := points[place]) is not None]
        why = Grounds(
            points=used,
            filled=verdict.filled,
            missing=missing,
            threshold=float(alarm.threshold),
            comparison=alarm.comparison_operator,
            periods=periods,
            needed=needed,
            period=period_of(queries_of(alarm)),
            statistic=alarm.extended_statistic or alarm.statistic or "",
            asked=datetime.now(UTC),
            since=used[0].when if used else moment(end - periods * width),
        )
        state = verdict.state or INSUFFICIENT
        self.change(region, alarm, state, explain(state, why), explain_as_data(why))

    def _points(self, region: str, alarm: Any, times: range) -> list[AlarmPoint | None] | None:
        """One of each period, None where nothing came; None for all where too little came to judge by."""
        queries = queries_of(alarm)
        if (query := find_watched(queries)) is None:
            return None
        samples = self._samples(region, query, times) if query.metric else {}
        if alarm.evaluate_low_sample_count_percentile == "ignore" and query.metric:
            last = [sample for when, sample in samples.items() if when >= times[FURTHER]]
            if 0 < sum(sample.count for sample in last) < enough_samples(query.statistic):
                return None
        run = MathRun(queries, lambda one: self._line(region, one, times), times)
        try:
            line = run.line(query)
        except (BadExpression, UnknownStatistic):  # as AWS does with what it cannot evaluate: no data
            line = {}
        return [
            AlarmPoint(
                when=moment(when), value=line[when], samples=samples[when].count if when in samples else 0
            )
            if when in line
            else None
            for when in times
        ]

    def _line(self, region: str, query: MetricQuery, times: range) -> Line:
        return {
            when: float(sample.read(query.statistic))
            for when, sample in self._samples(region, query, times).items()
        }

    def _samples(self, region: str, query: MetricQuery, times: range) -> dict[int, MetricSamples]:
        assert query.metric is not None, "an expression has no samples"
        return self.points.by_period(region, query.metric, times.start, times.stop, times.step)
