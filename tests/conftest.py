"""Runs the conformance suite on the stores of this repository, unless the command line names others."""

import pytest

pytest_plugins = ["aiq.testing"]


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.aiq_backend:
        config.option.aiq_backend = [f"tests.stores:{name}" for name in ("memory", "sqlite", "redis", "postgres")]
