"""What the management API's views share: problem details, pages, schema."""
