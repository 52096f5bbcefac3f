"""--codecs: values that are encoded, read with the codecs, and told without them."""

import asyncio
from pathlib import Path

import pytest

import aiq
from tests.cli.command import facts, said

CODECS = """
import aiq

codecs = [aiq.Zlib(min_bytes=0), aiq.AESGCM(keys={"k1": b"1" * 32}, current="k1")]
nothing = "codecs"
"""


@aiq.task
async def say(ctx: aiq.Context, text: str) -> str:
    await ctx.emit(f"{text} {text}")
    await ctx.log("a line of the log")
    await ctx.progress({"done": 1})
    return text


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / f"{tmp_path.name}.py").write_text(CODECS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / f"{tmp_path.name}.py")


@pytest.fixture
def hidden(url: str) -> None:
    async def scene() -> None:
        codecs = [aiq.Zlib(min_bytes=0), aiq.AESGCM(keys={"k1": b"1" * 32}, current="k1")]
        async with aiq.Queue(url, codecs=codecs) as queue:
            await queue.enqueue(say.job("something private"), id="one")
            await aiq.Worker(queue, tasks=[say]).run_until_idle()

    asyncio.run(scene())


@pytest.mark.usefixtures("hidden")
def test_values_are_shown_with_the_codecs(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    [fact] = facts(said(capsys, "show", "one", "--payload", "--json", "--codecs", module)[1])

    assert (fact["result"], fact["progress"]) == ("something private", {"done": 1})
    status, out, err = said(capsys, "tail", "one", "--codecs", f"{module}:codecs")
    assert (status, out.strip()) == (0, "something private something private")
    assert "log: a line of the log" in err


@pytest.mark.usefixtures("hidden")
def test_values_are_told_and_not_shown_without_the_codecs(capsys: pytest.CaptureFixture[str]) -> None:
    [fact] = facts(said(capsys, "show", "one", "--payload", "--json")[1])
    assert "encoded with" in fact["result_unreadable"]
    assert "aesgcm=k1" in fact["payload_unreadable"]
    assert "result" not in fact

    shown = said(capsys, "show", "one", "--payload")[1]
    assert "It is encoded with" in shown
    _, out, err = said(capsys, "tail", "one")
    assert out == ""
    assert err.count("It is encoded with") == 3


@pytest.mark.usefixtures("hidden")
def test_what_is_no_list_of_codecs_is_refused(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(capsys, "show", "one", "--codecs", f"{module}:nothing")

    assert status != 0
    assert "is no list of codecs" in err
