"""The report of a conformance run: which clause held on which backend."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias


class Verdict(StrEnum):
    """What came of one test."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"


Tally: TypeAlias = dict[Verdict, int]


@dataclass(slots=True)
class Conformance:
    """What is known so far. A test counts once, however many of its phases are told; a failure outweighs the rest."""

    _verdicts: dict[tuple[str, str], tuple[Verdict, tuple[str, ...]]] = field(default_factory=dict)
    _reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, backend: str, test: str, clauses: tuple[str, ...], verdict: Verdict, reason: str = "") -> None:
        """Note what came of a test, or of a phase of it; `reason` says in a line why it failed."""
        known, _ = self._verdicts.get((backend, test), (verdict, ()))
        worst = Verdict.FAILED if Verdict.FAILED in (known, verdict) else verdict
        self._verdicts[backend, test] = worst, clauses
        if verdict is Verdict.FAILED:
            self._reasons.setdefault((backend, test), reason)

    def spend(self, backend: str, seconds: float) -> None:
        """Note how long a phase of a test took."""
        self._seconds[backend] += seconds

    @property
    def backends(self) -> list[str]:
        """Those that were tried, in order."""
        return list(dict.fromkeys(backend for backend, _ in self._verdicts))

    def failed(self, backend: str) -> dict[str, str]:
        """The tests that a backend failed, in order, with the reason of each."""
        return {test: reason for (tried, test), reason in self._reasons.items() if tried == backend}

    def by_clause(self) -> dict[str, dict[str, Tally]]:
        """Clause, then backend, then how many tests came out how."""
        table: dict[str, dict[str, Tally]] = {}
        for (backend, _), (verdict, clauses) in self._verdicts.items():
            for number in clauses:
                tally = table.setdefault(number, {}).setdefault(backend, dict.fromkeys(Verdict, 0))
                tally[verdict] += 1
        return dict(sorted(table.items(), key=lambda row: _in_order(row[0])))

    def lines(self) -> Iterator[str]:
        """The table for a terminal: a row a chapter, then every clause that did not hold or does not apply."""
        table, backends = self.by_clause(), self.backends
        yield _row("", "clauses", backends)
        for chapter in dict.fromkeys(number.rpartition("-")[0] for number in table):
            rows = {number: row for number, row in table.items() if number.rpartition("-")[0] == chapter}
            yield _row(chapter, str(len(rows)), [_summary(rows, backend) for backend in backends])
        yield _row("seconds", "", [f"{self._seconds[backend]:.1f}" for backend in backends])
        for number, row in table.items():
            for backend, tally in row.items():
                if tally[Verdict.FAILED]:
                    yield f"{number} does not hold on {backend}"
                elif not tally[Verdict.PASSED]:
                    yield f"{number} does not apply to {backend}"

    def write(self, path: Path) -> None:
        """Write it as JSON, for a badge, a table in the docs, or a program."""
        backends = {
            name: {"seconds": round(self._seconds[name], 3), "failed": self.failed(name)} for name in self.backends
        }
        told = {"backends": backends, "clauses": self.by_clause()}
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _in_order(number: str) -> tuple[str, int]:
    chapter, _, rest = number.rpartition("-")
    return chapter, int(rest) if rest.isdigit() else 0


def _row(first: str, second: str, cells: list[str]) -> str:
    return f"{first:10}{second:>8}" + "".join(f"  {cell:>28}" for cell in cells)


def _summary(rows: dict[str, dict[str, Tally]], backend: str) -> str:
    tallies = [row[backend] for row in rows.values() if backend in row]
    counts = {verdict: sum(tally[verdict] for tally in tallies) for verdict in Verdict}
    told = [f"{count} {verdict.replace('_', ' ')}" for verdict, count in counts.items() if count]
    return ", ".join(told) or "not tried"
