"""What `policy` asks of single endpoints and of media."""
