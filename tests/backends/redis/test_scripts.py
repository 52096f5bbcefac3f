"""What can be read off the scripts without running them."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Event, Thread, get_ident

import pytest

from aiq.backends.redis import listener, scripts
from tests.rights import commands, rights
from tests.servers import server
from tests.test_docs import DOCS

SOURCES = {name: scripts._bare(text) for name, text in scripts._files().items()}
GROWING = {"append", "enqueue", "fire", "load", "run_schedule", "send", "update"}
"""Operations that a server without memory refuses. All others work on, or no queue could ever drain."""
LOOKING_WRITERS = {"audit", "dump", "events_of", "explain", "load", "read_events", "retire"}
"""Those that are for a storage too that has moved, that try on what they look at, or that name the storage first."""
TOLD = {"key_"}
"""What a function is told, and calls so, is a key."""
_CALL = re.compile(r"(?<![.\w])call\(\s*('\w+'|\w+)\s*(?:,\s*([\w.]+)\b(\()?|\))")
_LITERAL = re.compile(r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\"""")
_MADE = re.compile(r"(?:local )?([\w.]+)(?:, \w+)* = key\(")
_MAKER = re.compile(r"function ([\w.]+)\([^)]*\)\n +return key\(")


@cache
def keyed() -> set[str]:
    """What stands for a key: what is made by `key`, the functions that answer such a one, and what these were asked."""
    text = "\n".join(SOURCES.values())
    names = {"key", *_MADE.findall(text), *_MAKER.findall(text)}
    makers = "|".join(re.escape(name) for name in names)
    return names | TOLD | set(re.findall(rf"(?:local )?(\w+)(?:, \w+)* = (?:{makers})\(", text))


@pytest.mark.parametrize("name", SOURCES)
def test_every_key_is_made_by_the_one_helper(name: str) -> None:
    found = [
        f"{command} {key}"
        for command, key, _ in _CALL.findall(SOURCES[name])
        if command != "'TIME'" and key not in keyed()
    ]

    assert not found, "A key that `key(…)` did not make may lie in another slot, and outside the rights of the user."
    assert not re.search(r"\bKEYS\b|\bredis[.](call|pcall|setresp)\b|\{aiq", SOURCES[name])


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_works_on_a_server_without_memory_unless_it_lets_it_grow(name: str) -> None:
    assert scripts.script(name).text.startswith("#!lua")
    flags = scripts._FLAGS.search(scripts.source(name))

    assert (flags is None) == (name in GROWING)
    assert flags is None or flags[1] in ("allow-oom", "allow-oom,no-writes")


@pytest.mark.parametrize("name", scripts.names())
def test_what_writes_nothing_goes_on_where_nothing_can_be_written(name: str) -> None:
    flags = scripts._FLAGS.search(scripts.source(name))
    looks = scripts._LOOKS.search(scripts.source(name)) is not None and name not in LOOKING_WRITERS

    assert ("no-writes" in flags[1] if flags else False) == looks


@pytest.mark.parametrize("name", scripts.names())
def test_redis_can_read_a_script(name: str) -> None:
    found = scripts.script(name)

    assert server().ask("SCRIPT", "LOAD", found.text) == found.sha


@pytest.mark.parametrize("name", scripts.names())
def test_what_a_script_says_in_quotes_is_left_as_it_was_written(name: str) -> None:
    text = scripts.script(name).text

    assert [said for said in _LITERAL.findall(text) if "OURS." in said] == []


@pytest.mark.parametrize("name", SOURCES)
def test_no_script_uses_what_loses_numbers_or_bytes(name: str) -> None:
    assert not re.search(r"\bcjson\b|\btostring\((?!why\))", SOURCES[name])


def test_the_stream_of_wake_ups_keeps_as_much_as_its_reader_reckons_with() -> None:
    assert f"local KEPT = {listener.KEPT}\n" in scripts.source("_wakeups")


def test_the_page_names_the_rights_that_scripts_and_client_need() -> None:
    line = f"ACL SETUSER aiq on >PASSWORD {' '.join(rights('aiq:default'))}"

    assert line in re.sub(r" \\\n\s+", " ", (DOCS / "redis.md").read_text(encoding="utf-8"))
    assert set(commands()) == {right[1:] for right in rights("x") if right.startswith("+")}


@pytest.fixture
def made_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads in which scripts were made since none was known, one for each."""
    threads: list[int] = []

    def made(name: str) -> scripts.Script:
        threads.append(get_ident())
        return scripts.compose(name, "return 1")

    monkeypatch.setattr(scripts, "_composed", {})
    monkeypatch.setattr(scripts, "script", made)
    return threads


async def test_a_loop_does_not_stand_still_while_a_script_is_made(made_in: list[int]) -> None:
    assert await scripts.composed("get") is await scripts.composed("get")
    assert len(made_in) == 1
    assert made_in != [get_ident()]


async def test_a_script_is_made_once_for_all_who_come_at_once_whatever_their_loop(made_in: list[int]) -> None:
    found = await asyncio.gather(
        *[scripts.composed("get") for _ in range(50)],
        *[asyncio.to_thread(asyncio.run, scripts.composed("get")) for _ in range(3)],
    )

    assert len({id(one) for one in found}) == 1
    assert len(made_in) == 1


async def test_a_script_is_made_while_every_thread_of_the_handlers_waits(made_in: list[int]) -> None:
    over = Event()
    with ThreadPoolExecutor(1) as handlers:
        asyncio.get_running_loop().set_default_executor(handlers)
        waiting = asyncio.get_running_loop().run_in_executor(None, over.wait)
        try:
            async with asyncio.timeout(10):
                await scripts.composed("get")
        finally:
            over.set()
            await waiting


async def test_whoever_is_cancelled_leaves_the_script_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = Event(), Event()

    def slowly(name: str) -> scripts.Script:
        begun.set()
        go_on.wait()
        return scripts.compose(name, "return 1")

    monkeypatch.setattr(scripts, "_composed", {})
    monkeypatch.setattr(scripts, "script", slowly)
    leaves, stays = (asyncio.create_task(scripts.composed("get")) for _ in range(2))
    await asyncio.to_thread(begun.wait)
    leaves.cancel()
    await asyncio.wait({leaves})
    go_on.set()

    assert (await stays).name == "get"


async def test_a_script_that_could_not_be_made_is_made_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError("Too many open files")]

    def made(name: str) -> scripts.Script:
        if failures:
            raise failures.pop()
        return scripts.compose(name, "return 1")

    monkeypatch.setattr(scripts, "_composed", {})
    monkeypatch.setattr(scripts, "script", made)

    with pytest.raises(OSError, match="open files"):
        await scripts.composed("get")
    assert (await scripts.composed("get")).name == "get"


async def test_without_a_thread_to_be_had_a_script_is_made_all_the_same(
    monkeypatch: pytest.MonkeyPatch, made_in: list[int]
) -> None:
    def refused(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refused)

    assert (await scripts.composed("get")).name == "get"
    assert made_in == [get_ident()]
