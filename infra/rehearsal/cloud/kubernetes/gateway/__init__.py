"""The local Kubernetes' Gateway API implementation: HTTPRoutes and Services become what Envoy serves."""
