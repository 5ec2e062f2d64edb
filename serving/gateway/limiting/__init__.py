"""What `limits` stands on: leases of counters in Redis, and limits in words."""
