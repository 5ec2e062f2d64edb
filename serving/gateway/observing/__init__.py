"""What people see of the gateway: metrics, traces, the access log."""
