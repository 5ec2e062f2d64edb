"""Adapters from their intake to their end: numbered, kept, shared, retired."""
