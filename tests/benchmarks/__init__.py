"""Decisions, tried without any storage."""
