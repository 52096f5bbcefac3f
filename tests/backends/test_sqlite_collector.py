"""Steps without the cyclic garbage collector."""

import gc
from collections.abc import Iterator

import pytest

from aiq.backends.sqlite.collector import without_collector


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if enabled else gc.disable)()


def test_the_collector_pauses_until_the_last_of_several_steps_is_over() -> None:
    with without_collector():
        with without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_step_that_fails_gives_the_collector_back() -> None:
    with pytest.raises(ValueError, match="broken"), without_collector():
        raise ValueError("broken")

    assert gc.isenabled()


def test_a_collector_that_somebody_else_has_paused_stays_paused() -> None:
    gc.disable()

    with without_collector():
        pass

    assert not gc.isenabled()
