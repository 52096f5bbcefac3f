"""The drawing of a run of several queues."""

import xml.etree.ElementTree as ET

from benchmarks.peers.bars import svg
from benchmarks.spread import Spread

SVG = "{http://www.w3.org/2000/svg}"
BACKGROUND = 1


def test_each_queue_that_has_a_figure_has_a_bar() -> None:
    found = {"aiq": {"bulk": Spread(9, 8, 10)}, "pgqueuer": {"bulk": Spread(3, 2, 4)}, "saq": {"bulk": None}}

    drawn = ET.fromstring(svg("run", found, ["bulk"]))

    assert len(drawn.findall(f"{SVG}rect")) == BACKGROUND + 2


def test_a_bar_is_as_long_as_its_median_on_the_scale_of_the_most() -> None:
    found = {"aiq": {"bulk": Spread(10, 10, 10)}, "other <one>": {"bulk": Spread(5, 5, 5)}}

    _, whole, half = ET.fromstring(svg("run", found, ["bulk"])).findall(f"{SVG}rect")

    assert float(whole.attrib["width"]) == 2 * float(half.attrib["width"])
