"""What `meter` stands on: accounts of calls, and where their records wait until the database has them."""
