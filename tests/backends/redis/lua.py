"""Functions of the Lua pieces, run in a private Redis: beside the Python rules that they say again.

    answers = run("return budgets.window_start(case.window, case.now_ms)", cases)

The body is that of a function of `case`, run for each of the cases in one script. An answer is the list of what it
returned, without what is nothing at its end; a refusal is {"refused": class, "detail": what it says}.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from unittest.mock import patch

import msgspec
import redis

from aiq.backends.redis import scripts, wire
from tests.servers import redis_port

_BODY = """-- looks
local function of(case)
{}
end
local found = {{}}
for place, case in ipairs(args.cases) do
  local told = {{pcall(of, case)}}
  if table.remove(told, 1) then
    found[place] = told
  elseif type(told[1]) == 'table' and told[1].refused then
    found[place] = told[1]
  else
    error(type(told[1]) == 'table' and told[1].err or told[1], 0)
  end
end
return found
"""
_runs = count(1)


def run(
    body: str, cases: Sequence[Any], *, now_ms: int = 0, pieces: Mapping[str, str] | None = None
) -> list[Any]:  # Any: what msgpack can say
    """What a body returns for each of the cases, which may hold dataclasses and structs. `pieces` stand in the place of
    the files of their names, without the underscore."""
    files = {**scripts._files(), **{f"_{name}": text for name, text in (pieces or {}).items()}}
    # What is remembered of the files is that of the others: neither run is to see the pieces of the other.
    with patch.object(scripts, "_files", lambda: files), patch.object(scripts, "_piece", scripts._piece.__wrapped__):
        text = scripts.compose("case", _BODY.format(body)).text
    head = msgspec.msgpack.encode({"args": {"cases": wire.said(list(cases))}, "now_ms": now_ms})
    with redis.Redis(port=redis_port()) as server:
        found: list[bytes] = server.eval(text, 1, f"{{lua:{next(_runs)}}}", head)
    answer: list[Any] = msgspec.msgpack.decode(found[0])["answer"]
    return answer
