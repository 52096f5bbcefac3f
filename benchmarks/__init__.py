"""Benchmarks, one file per question; run one as `python -m benchmarks.NAME`."""
