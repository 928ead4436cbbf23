"""What a running daemon lets others watch: metrics for a monitoring system, events as they happen."""
