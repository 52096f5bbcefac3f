"""Processes of a benchmark that end before their time."""

import asyncio
import sys

import pytest

from benchmarks.processes import check_alive, process


async def test_a_process_that_never_comes_up_is_told() -> None:
    with pytest.raises(SystemExit, match="ended before its time"):
        async with process("benchmarks.nothing_of_this_name"):
            raise AssertionError


async def test_a_process_that_has_ended_makes_the_figures_void() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    check_alive([child])
    await child.wait()

    with pytest.raises(SystemExit, match="mean nothing"):
        check_alive([child])
