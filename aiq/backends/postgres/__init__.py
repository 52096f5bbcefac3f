"""A storage in PostgreSQL."""
