"""Placeholder."""

TASKS: list = []
