"""Rate limits over HTTP: ours beside what others do and an ideal, on the same traces.

    python -m benchmarks.ratelimit --scenario S1,S2 --policy ours,naive,window --workers 4 --seeds 3 --json
    python -m benchmarks.ratelimit --quick --json

Each run starts the provider simulator, a new store and worker processes of its own. Time is compressed: all constants
of provider and load are scaled alike, so that ten simulated minutes take one.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.ratelimit.figures import Figures, figures
from benchmarks.ratelimit.measure import Tally, pooled, tally
from benchmarks.ratelimit.model import ideal
from benchmarks.ratelimit.plot import svg
from benchmarks.ratelimit.policies import BASELINES, OURS
from benchmarks.ratelimit.records import Record
from benchmarks.ratelimit.report import MODEL, Answer, as_json, table
from benchmarks.ratelimit.run import Settings, run
from benchmarks.ratelimit.scenarios import SCENARIOS, SLOTS, Scenario
from benchmarks.ratelimit.traces import draw
from benchmarks.stores import refuse_existing

POLICIES: Final = (OURS, *BASELINES)
MAX_WORKERS: Final = 8
QUICK_WARM_UP_S: Final = 30
QUICK_MEASURED_S: Final = 120
QUICK_POLICIES: Final = (OURS, "naive")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    scenarios: list[Scenario]
    policies: list[str]
    seeds: int
    settings: Settings
    plots: Path | None


async def answer(scenario: Scenario, asked: Asked) -> Answer:
    """Run every policy on every seed of one scenario, and the model beside them."""
    began = time.monotonic()
    tallies: dict[str, list[Tally]] = {policy: [] for policy in (MODEL, *asked.policies)}
    first: dict[str, Record] = {}
    for seed in range(1, asked.seeds + 1):
        trace = draw(scenario, seed)
        for policy, found in tallies.items():
            record = (
                ideal(scenario, trace, SLOTS * asked.settings.workers)
                if policy == MODEL
                else await run(scenario, policy, trace, seed, asked.settings)
            )
            found.append(tally(record))
            first.setdefault(policy, record)
    if asked.plots is not None:
        (asked.plots / f"{scenario.name}.svg").write_text(svg(f"{scenario.name}: {scenario.title}", first))
    return Answer(scenario.name, _figures(tallies, asked.settings.compress), time.monotonic() - began)


def _figures(tallies: dict[str, list[Tally]], compress: float) -> dict[str, Figures]:
    model = pooled(tallies[MODEL])
    return {policy: figures(pooled(found), model, compress) for policy, found in tallies.items()}


def main() -> None:
    """Parse, run, print."""
    parser = _parser()
    arguments = parser.parse_args()
    asked = _asked(parser, arguments)
    # What others do on this machine meanwhile delays ours, and then the delays mean little.
    began, load_average = time.monotonic(), os.getloadavg()[0]
    answers = []
    for scenario in asked.scenarios:
        answers.append(asyncio.run(answer(scenario, asked)))
        if not arguments.json:
            print(table(answers[-1]), flush=True)
    if arguments.json:
        report = {
            "workers": asked.settings.workers,
            "seeds": asked.seeds,
            "compress": asked.settings.compress,
            "load_average": load_average,
            "python": sys.version.split()[0],
            "seconds": round(time.monotonic() - began, 1),
            "scenarios": [as_json(one) for one in answers],
        }
        print(json.dumps(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scenario", default=",".join(SCENARIOS), help=f"some of {','.join(SCENARIOS)} (all)")
    parser.add_argument("--policy", default=",".join(POLICIES), help=f"some of {','.join(POLICIES)} (all)")
    parser.add_argument("--workers", type=int, default=4, help="worker processes, 1 to 8 (4)")
    parser.add_argument("--seeds", type=int, default=1, help="traces to draw, each for every policy (1)")
    parser.add_argument("--compress", type=float, default=10.0, help="simulated seconds in a real one (10)")
    parser.add_argument("--warm-up", type=int, help="simulated seconds that are not measured (120)")
    parser.add_argument("--measured", type=int, help="simulated seconds that are (600; S7: 2400)")
    parser.add_argument("--url", help="storage of ours; a SQLite file must not exist, and is removed (a temporary one)")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write an SVG for each scenario there")
    parser.add_argument("--quick", action="store_true", help="S1, ours and naive, two simulated minutes: under 55 s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _asked(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Asked:
    if arguments.url:
        refuse_existing(parser, arguments.url)
    if not 1 <= arguments.workers <= MAX_WORKERS:
        parser.error(f"--workers is from 1 to {MAX_WORKERS}")
    if arguments.quick:
        arguments.scenario, arguments.policy, arguments.seeds = "S1", ",".join(QUICK_POLICIES), 1
        arguments.warm_up, arguments.measured = QUICK_WARM_UP_S, QUICK_MEASURED_S
    names, policies = arguments.scenario.split(","), arguments.policy.split(",")
    if unknown := [name for name in names if name not in SCENARIOS] + [p for p in policies if p not in POLICIES]:
        parser.error(f"there is no {', '.join(unknown)}")
    return Asked(
        scenarios=[SCENARIOS[name].shortened(arguments.warm_up, arguments.measured) for name in names],
        policies=policies,
        seeds=arguments.seeds,
        settings=Settings(arguments.workers, arguments.compress, arguments.url),
        plots=arguments.plots,
    )


if __name__ == "__main__":
    main()
