"""Words that the server's metrics and those who read them share; nothing is imported here."""

from __future__ import annotations

RELEASE, EVERY = "ECOMDEPLOY_RELEASE", "ECOMDEPLOY_GUARDRAIL_SECONDS"
"""The variables: by what name metrics know the release, and how many seconds a window lasts."""
SECONDS = 10.0
NAMESPACE, DIMENSION = "ecomdeploy", "EndpointConfigName"
ANSWERS = "GuardedAnswers"
"""Of CloudWatch's metrics: how many answers were looked at; the others have the guardrails' names."""
SHOWN, SHOWN_WRONG = "ecomdeploy_guarded_answers_total", "ecomdeploy_guardrail_answers_total"
"""Of Prometheus': the same two; the second has the label `guardrail`."""
