"""What a person sees: a terminal that moves, or plain lines where there is none."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aiq import State
from examples.digesting.prove import FINE, REPEATED, Proof
from examples.digesting.report import Costs
from examples.digesting.tasks import Plan
from examples.digesting.watch import LOOKS_PER_S, Picture, Row

STYLES: Final = {
    State.SCHEDULED: "yellow",
    State.READY: "cyan",
    State.RUNNING: "bold yellow",
    State.WAITING: "blue",
    State.SUSPENDED: "magenta",
    State.HELD: "bold magenta",
    State.SUCCEEDED: "green",
    State.DEAD: "bold red",
    State.CANCELLED: "red",
}
STREAMS: Final = 2
STREAM_LINES: Final = 3
PARAGRAPHS: Final = 4
"""Of a draft that nobody is asked about."""
CHROME_LINES: Final = 9
"""Lines of the moving picture that are neither documents nor streams."""


class Show:
    """Events go up the screen and stay; below them moves the picture of now. Without a terminal, only the events."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._picture: Picture | None = None
        self._started = time.monotonic()
        self._done_before = 0
        self._held: list[Text] | None = None
        self._worker: int | None = None

    def begin(self, plan: Plan, picture: Picture, *, existed: bool) -> None:
        """Say what this is about, and what of it is there already."""
        folder, output = Path(plan.folder).name, _near(plan.output)
        self._console.print(Text.assemble(
            ("aiq digest ", "bold"), f"{folder}/ → {output} · {len(plan.documents)} documents · model {plan.model}",
            (f" · job {picture.digest.job_id}", "dim"),
        ), soft_wrap=True)  # fmt: skip
        if picture.digest.state.terminal:
            self.tell(f"This digest has {picture.digest.state} before: nothing is asked again, nothing is written.")
        elif existed:
            self.tell(f"This digest goes on where it was: {picture.summarised} documents are done.", "green")
        self._done_before = _done(picture)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Show the picture until the end of the block."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Take the picture away for a while, and keep what is told: somebody reads, or is asked."""
        self._stop()
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            for line in held:
                self._print(line)
            self._start()

    def tell(self, text: str, style: str = "") -> None:
        """Say what happened."""
        clock = f"{time.monotonic() - self._started:5.1f} s  "
        line = Text.assemble((clock, "dim"), (text, style))
        if self._held is None:
            self._print(line)
        else:
            self._held.append(line)

    def hear(self, line: str) -> None:
        """Pass on what a process of ours said."""
        self.tell(line, "dim")

    def draw(self, picture: Picture, worker: int | None) -> None:
        """Show how things stand now, and who works."""
        self._picture, self._worker = picture, worker

    def page(self, title: str, markdown: str, *, whole: bool) -> None:
        """Show a text to be read: all of it, or the first paragraphs."""
        paragraphs = markdown.split("\n\n")
        shown = markdown if whole else "\n\n".join(paragraphs[:PARAGRAPHS])
        rest = "" if whole else f" · and {max(0, len(paragraphs) - PARAGRAPHS)} paragraphs more"
        self._console.print(
            Panel(
                Markdown(shown),
                title=f"{title} · {len(markdown):,} characters{rest}",
                title_align="left",
                border_style="magenta",
            )
        )

    def summary(self, picture: Picture) -> None:
        """Show what it came to."""
        table = Table(title="Summary", title_justify="left", title_style="bold")
        table.add_column("document", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for column in ("runs", "attempts", "tokens in", "tokens out", "seconds"):
            table.add_column(column, justify="right")
        for row in (*picture.documents, picture.digest, *([picture.publication] if picture.publication else [])):
            table.add_row(
                row.name, Text(row.state, STYLES.get(row.state, "")), str(row.runs), str(row.attempt),
                _number(row.tokens_in), _number(row.tokens_out), f"{row.seconds:.1f}",
            )  # fmt: skip
        rows = [*picture.documents, picture.digest]
        tokens_in, tokens_out = sum(row.tokens_in for row in rows), sum(row.tokens_out for row in rows)
        table.add_section()
        table.add_row("all", "", "", "", _number(tokens_in), _number(tokens_out), "")
        self._console.print(table)

    def proof(self, proof: Proof) -> None:
        """Show what the ledger says."""
        table = Table("call", "when the worker was killed", title_justify="left", title_style="bold")
        table.title = "The provider's own ledger"
        for column in ("calls", "answered"):
            table.add_column(column, justify="right")
        table.add_column("so it was")
        for account in proof.accounts:
            style = "" if account.verdict == "paid once" else "yellow" if account.verdict in FINE else "bold red"
            counts = (str(account.calls), str(account.answered))
            table.add_row(account.name, account.at_the_kill, *counts, Text(account.verdict, style))
        self._console.print(table)
        for holds, text in _claims(proof):
            self._console.print(Text.assemble(("✓ ", "bold green") if holds else ("✗ ", "bold red"), text))

    def costs(self, costs: Costs) -> None:
        """Show what it took, and how often the provider had to say no."""
        table = Table("", title="What it took", title_justify="left", title_style="bold")
        table.add_column("with limits", justify="right")
        if costs.without:
            table.add_column("without", justify="right")
        for part in costs.spent:
            table.add_row(f"tokens of {part.model}: {part.category}", f"{part.tokens:,}")
            if part.estimated:
                table.add_row("  of these set aside for calls that a kill cut", f"{part.estimated:,}")
        table.add_row(f"dollars, of {costs.budget_usd:.2f} in the budget", f"{costs.usd:.4f}")
        table.add_row("seconds that jobs waited for limits", f"{costs.waited_s:,.1f}")
        columns = [calls for calls in (costs.calls, costs.without) if calls]
        table.add_section()
        table.add_row("calls that were answered", *(str(calls.answered) for calls in columns))
        table.add_row("429s in the provider's own ledger", *(str(calls.refused) for calls in columns))
        self._console.print(table)

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def _start(self) -> None:
        # A new one each time: one that was stopped remembers how many lines it had, and would wipe out what came after.
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._render, console=self._console, refresh_per_second=LOOKS_PER_S, transient=True
            )
            self._live.start(refresh=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        picture = self._picture
        if picture is None:
            return Text("Starting …", "dim")
        streaming = picture.streaming[:STREAMS]
        lines = self._console.size.height - CHROME_LINES - len(streaming) * (STREAM_LINES + 2)
        return Group(_table(picture, max(3, lines)), *(self._stream(row) for row in streaming), self._counters(picture))

    def _stream(self, row: Row) -> RenderableType:
        room = (self._console.size.width - 4) * STREAM_LINES - 8
        text = " ".join(row.text.split())
        return Panel(
            Text(("… " if len(text) > room else "") + text[-room:] + "▌"),
            title=f"{row.name} · run {row.runs} · {row.tokens_out} tokens", title_align="left",
            border_style="yellow", height=STREAM_LINES + 2,
        )  # fmt: skip

    def _counters(self, picture: Picture) -> RenderableType:
        seconds = time.monotonic() - self._started
        rate = (_done(picture) - self._done_before) / seconds if seconds else 0.0
        rows = [*picture.documents, picture.digest]
        parts = [f"{count} {state}" for state, count in sorted(picture.states.items())]
        parts.append(f"{rate:.1f} jobs/s")
        parts.append(f"tokens {sum(r.tokens_in for r in rows):,} in, {sum(r.tokens_out for r in rows):,} out")
        worker = f"worker {self._worker} · try `kill -9 {self._worker}`" if self._worker else "no worker"
        return Group(Text(" · ".join(parts), "bold"), Text(worker, "dim"))


def _table(picture: Picture, lines: int) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("document", no_wrap=True, min_width=24)
    table.add_column("state", min_width=9)
    for column in ("run", "tokens", "seconds"):
        table.add_column(column, justify="right", min_width=7)
    table.add_column("waits because", no_wrap=True, overflow="ellipsis")
    # What moves comes first when there is no room for all.
    order = sorted(picture.documents, key=lambda row: (row.state is not State.RUNNING, row.state.terminal))
    shown = {row.job_id for row in order[:lines]}
    for row in (*picture.documents, picture.digest):
        if row.job_id in shown or row is picture.digest:
            cells = (str(row.runs or ""), _number(row.tokens_out), f"{row.seconds:.1f}" if row.seconds else "")
            why = row.why.text if row.why is not None and row.state is not State.RUNNING else ""
            table.add_row(row.name, Text(row.state, STYLES.get(row.state, "")), *cells, Text(why, "dim"))
    if len(picture.documents) > lines:
        table.add_row(Text(f"and {len(picture.documents) - lines} more", "dim"))
    return table


def _claims(proof: Proof) -> Iterator[tuple[bool, str]]:
    """What was promised, and whether it was so."""
    done = [account for account in proof.accounts if account.at_the_kill == "done"]
    again = [account.name for account in proof.accounts if account.verdict in REPEATED]
    late = [account.name for account in proof.accounts if account.verdict == "answered too late"]
    wrong = [f"{account.name} ({account.verdict})" for account in proof.accounts if account.verdict not in FINE]
    yield proof.kills > 0, f"A worker was killed by SIGKILL at work ({proof.kills} in all), and another one went on."
    yield not wrong, f"{len(done)} answers were stored before that, and none of them was asked for again."
    yield bool(again), f"Only what the kill cut was asked for again: {', '.join(again) or 'nothing'}."
    if late:
        yield True, f"Of these, {', '.join(late)} had been answered, and not yet stored, in the moment of the kill."
    yield not wrong, f"Not as promised: {', '.join(wrong)}." if wrong else "Every stored answer was paid once."
    yield proof.second_start_calls == 0, f"A second start made {proof.second_start_calls} calls."
    yield proof.file_unchanged, f"It {'left the published file alone' if proof.file_unchanged else 'WROTE THE FILE'}."


def _near(path: str) -> str:
    """A path as it is seen from here, if that is shorter."""
    return min(path, os.path.relpath(path), key=len)


def _done(picture: Picture) -> int:
    return sum(row.state.terminal for row in picture.rows)


def _number(count: int) -> str:
    return f"{count:,}" if count else ""
