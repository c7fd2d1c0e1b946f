"""What watches and tells: CloudWatch, its logs, SNS."""
