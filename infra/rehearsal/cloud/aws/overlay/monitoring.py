"""CloudWatch over moto: what invocations left is written down when somebody asks."""

from __future__ import annotations

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.metrics import NAMESPACE
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, HttpResponse, Overlay, emulates

SOURCE = "monitoring-cloudwatch: SageMaker AI endpoint invocation metrics"


class CloudWatch(Overlay):
    """Alarms are moto's: they never evaluate; `set_alarm_state` sets them."""

    @emulates("GetMetricStatistics GetMetricData ListMetrics", "documented", SOURCE)
    def read(self, call: ApiCall) -> HttpResponse:
        """Invocations, Invocation4XXErrors, Invocation5XXErrors, ModelLatency per variant and minute."""
        self._write()
        return self.moto(call)

    def close(self) -> None:
        self._write()

    def _write(self) -> None:
        from moto.cloudwatch.models import cloudwatch_backends

        for region, data in self.account.invocations.metrics.take():
            cloudwatch_backends[ACCOUNT][region].put_metric_data(NAMESPACE, data)
