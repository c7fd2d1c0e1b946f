"""CloudWatch over moto: what invocations left is written down when somebody asks."""

from __future__ import annotations

from infra.rehearsal.cloud.metrics import NAMESPACE
from infra.rehearsal.cloud.overlay.base import Answer, Call, Overlay, emulates
from infra.rehearsal.cloud.process import ACCOUNT


class CloudWatch(Overlay):
    """Alarms are moto's: they never evaluate; `set_alarm_state` sets them."""

    @emulates(
        "GetMetricStatistics", "documented", "monitoring-cloudwatch: SageMaker AI endpoint invocation metrics"
    )
    def get_metric_statistics(self, call: Call) -> Answer:
        """Invocations, Invocation4XXErrors, Invocation5XXErrors, ModelLatency per variant and minute."""
        return self._answer(call)

    @emulates(
        "GetMetricData", "documented", "monitoring-cloudwatch: SageMaker AI endpoint invocation metrics"
    )
    def get_metric_data(self, call: Call) -> Answer:
        """The same."""
        return self._answer(call)

    @emulates("ListMetrics", "documented", "monitoring-cloudwatch: SageMaker AI endpoint invocation metrics")
    def list_metrics(self, call: Call) -> Answer:
        """The same."""
        return self._answer(call)

    def close(self) -> None:
        self._write()

    def _answer(self, call: Call) -> Answer:
        self._write()
        return self.moto(call)

    def _write(self) -> None:
        from moto.cloudwatch.models import cloudwatch_backends

        for region, data in self.account.runtime.metrics.taken():
            cloudwatch_backends[ACCOUNT][region].put_metric_data(NAMESPACE, data)
