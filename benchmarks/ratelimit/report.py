"""The figures of a sitting as one JSON object, and as a table for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.ratelimit.figures import Figures
from benchmarks.ratelimit.policies import OURS
from benchmarks.ratelimit.scenarios import SCENARIOS
from benchmarks.ratelimit.targets import Verdict, judge

MODEL: Final = "model"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one scenario came to: the figures of each policy, those of the model first."""

    scenario: str
    figures: Mapping[str, Figures]
    seconds: float
    """Real ones that it took."""

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """Ours against the targets; none when ours was not run."""
        ours = self.figures.get(OURS)
        return [] if ours is None else judge(self.scenario, ours, self.figures[MODEL])


def as_json(answer: Answer) -> dict[str, object]:
    """One scenario as plain data."""
    return {
        "scenario": answer.scenario,
        "title": SCENARIOS[answer.scenario].title,
        "seconds": round(answer.seconds, 1),
        "policies": {policy: asdict(figures) for policy, figures in answer.figures.items()},
        "targets": [asdict(verdict) for verdict in answer.verdicts],
    }


def table(answer: Answer) -> str:
    """One scenario as text: a row for each policy, then a line for each target."""
    lines = [f"{answer.scenario}  {SCENARIOS[answer.scenario].title}  ({answer.seconds:.0f} s)", HEAD]
    lines += [_row(policy, figures) for policy, figures in answer.figures.items()]
    lines += [
        f"  {verdict.word:16} {verdict.name}: {verdict.reached:g} (target {verdict.sign} {verdict.bound:g})"
        for verdict in answer.verdicts
    ]
    return "\n".join(lines)


HEAD: Final = (
    f"  {'policy':12}{'calls':>8}{'429/1k':>9}{'util %':>8}{'wasted':>9}{'dead':>6}{'goodput':>9}"
    f"{'large/batch':>12}{'low/high':>9}   chat p50/p99 s    large p50/p99 s   (ratio of p99)"
)


def _row(policy: str, f: Figures) -> str:
    return (
        f"  {policy:12}{f.calls:8,}{f.rejected_per_1000:9.2f}{f.utilisation_percent:8.2f}{f.wasted_tokens:9,}"
        f"{f.dead_jobs:6}{f.goodput_percent:9.2f}{f.large_to_batch:12.3f}{f.low_to_high:9.3f}"
        f"   {_delays(f, 'chat')}   {_delays(f, 'large')}"
    )


def _delays(f: Figures, kind: str) -> str:
    return f"{f.delay_p50_s[kind]:6.2f}/{f.delay_p99_s[kind]:<7.2f} ({f.p99_ratio[kind]:.2f})"
