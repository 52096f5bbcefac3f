"""Decisions, as pure functions: no clock, no randomness and no I/O but what is handed in."""
