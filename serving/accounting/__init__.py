"""What was used, what it cost, and what limits remember of it."""
