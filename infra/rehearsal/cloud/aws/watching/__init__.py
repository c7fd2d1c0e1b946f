"""CloudWatch's part: metrics, their statistics, and the alarms that watch them."""
