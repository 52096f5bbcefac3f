"""The two marks of the conformance suite."""

import pytest

from aiq.model import Capability


def clause(*numbers: str) -> pytest.MarkDecorator:
    """Mark a test with the clauses of spec/ that it proves, such as "LEASE-4"; the report counts by them."""
    return pytest.mark.clause(*numbers)


def requires(*capabilities: Capability) -> pytest.MarkDecorator:
    """Mark a test that a storage without these capabilities cannot pass, and need not; the report says so."""
    return pytest.mark.requires(*capabilities)
