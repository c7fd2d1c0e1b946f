"""What carries events from service to service: SQS, EventBridge."""
