import xml.etree.ElementTree as ET

from benchmarks.ratelimit.model import ideal
from benchmarks.ratelimit.plot import svg
from benchmarks.ratelimit.records import Reading, Record
from benchmarks.ratelimit.scenarios import KINDS, SCENARIOS
from benchmarks.ratelimit.series import admitted, delays, level
from benchmarks.ratelimit.traces import draw

SVG = "{http://www.w3.org/2000/svg}"


def run(name: str = "S2") -> Record:
    scenario = SCENARIOS[name]
    return ideal(scenario, draw(scenario, 1), 64)


def test_the_plot_is_well_formed_and_has_a_column_of_lines_for_each_policy() -> None:
    record = run()

    drawn = ET.fromstring(svg("S2", {"model": record, "ours": record}))

    lines_a_column = 1 + 2 * len(KINDS)
    assert len(drawn.findall(f"{SVG}polyline")) == 2 * lines_a_column


def test_a_title_cannot_break_the_plot() -> None:
    drawn = ET.fromstring(svg('a < b & "c"', {"<ours>": run()}))

    assert 'a < b & "c"' in {text.text for text in drawn.findall(f"{SVG}text")}


def test_a_run_without_any_job_can_be_drawn() -> None:
    nothing = Record(SCENARIOS["S1"], (), (), (Reading(0, 1, 0, 0, 0),), frozenset())

    assert ET.fromstring(svg("nothing", {"ours": nothing})) is not None


def test_the_bucket_is_drawn_as_a_part_of_its_capacity() -> None:
    assert all(value <= 1 for _, value in level(run()))


def test_all_that_was_admitted_is_drawn_once() -> None:
    record = run()
    rate = record.scenario.token_rate

    drawn = sum(value for points in admitted(record).values() for _, value in points) * rate * 20

    # Drawn is what began before the end; a job of this quiet end has ended by then.
    assert round(drawn) == sum(job.tokens for job in record.trace)


def test_no_delay_is_drawn_where_no_job_came() -> None:
    quiet = [at for points in delays(run()).values() for at, _ in points if at % 240 > 130]

    assert quiet == []
