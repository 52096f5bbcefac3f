"""Values by annotation: what comes out is what went in, and what does not fit is refused with its place."""

import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiq.errors import FlowInvalid
from aiq.model import Failure, State
from aiq.rules.codec import Codec
from aiq.rules.writing import Output, Unfit


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Note:
    text: str
    score: float = 0.0
    tags: set[str] = field(default_factory=set)


@dataclass
class Report:
    title: str
    notes: list[Note]


@dataclass
class Remark:
    text: str = ""


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Usage(TypedDict):
    tokens: int


class Brief(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    topic: str
    due: datetime
    depth: int = pydantic.Field(default=1, alias="Depth", ge=1)


class Label(pydantic.BaseModel):
    name: str


def back(annotation: object, value: object) -> object:
    codec = Codec(annotation)
    return codec.decode(codec.encode(value))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NOTES = st.builds(Note, text=TEXTS, score=FLOATS, tags=st.sets(TEXTS))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
TYPED: list[tuple[object, st.SearchStrategy[object]]] = [
    (int, st.integers()),
    (list[Note], st.lists(NOTES)),
    (Report | None, st.none() | st.builds(Report, title=TEXTS, notes=st.lists(NOTES))),
    (dict[int, tuple[Colour, bytes]], st.dictionaries(st.integers(), st.tuples(st.sampled_from(Colour), st.binary()))),
    (Point, st.builds(Point, x=st.integers(), y=st.integers())),
    (date | int, st.dates() | st.integers()),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Any, JSON_VALUES),
    (list[Label | None], st.lists(st.none() | st.builds(Label, name=TEXTS))),
    (list[Note | Point | Label], st.lists(NOTES | st.builds(Point, x=st.integers()) | st.builds(Label, name=TEXTS))),
    (
        str | Report | Failure,
        TEXTS
        | st.builds(Report, title=TEXTS, notes=st.lists(NOTES))
        | st.builds(Failure, job_id=TEXTS, state=st.sampled_from(State), type=TEXTS, message=TEXTS),
    ),
]


@given(data=st.data())
def test_what_comes_out_is_what_went_in(data: st.DataObject) -> None:
    annotation, values = data.draw(st.sampled_from(TYPED))
    value = data.draw(values)

    assert back(annotation, value) == value


def test_a_pydantic_model_goes_through_its_own_aliases_and_rules() -> None:
    brief = Brief(topic="batteries", due=datetime(2026, 1, 1, tzinfo=UTC), Depth=3)

    assert Codec(Brief).encode(brief) == b'{"topic":"batteries","due":"2026-01-01T00:00:00Z","Depth":3}'
    assert back(list[Brief], [brief]) == [brief]


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, "1", r"^Expected `int`, got `str`$"),
        (list[Note], [Note("a"), Note(3)], r"^Expected `str`, got `int` - at `\$\[1\]\.text`$"),  # type: ignore[arg-type]
        (dict[str, Point], {"a": Point("x")}, r"Expected `int`, got `str` - at `\$\[\.\.\.\]\.x`"),  # type: ignore[arg-type]
        (Literal["a", "b"], "c", r"Invalid enum value 'c'"),
        (Annotated[int, msgspec.Meta(ge=3)], 2, r"Expected `int` >= 3"),
        (Usage, {"token": 1}, r"missing required field `tokens`"),
        (Label, Point(1), r"name: Field required"),
        (Note | Point, "x", r"^Expected `.*Note \| .*Point`: "),
        (list[float], [1.0, float("nan")], r"^Expected a finite number, got `nan` - at `\$\[1\]`$"),
        (list[float | None], [float("inf")], r"^Expected a finite number, got `inf` - at `\$\[0\]`$"),
        (Any, {"deep": [1, object()]}, r"^Expected a value with a form in JSON, got `object` - at `\$\.deep\[1\]`"),
        (Any, {(1, 2): 3}, r"texts or numbers as keys"),
        (Any, "\ud800", r"surrogates not allowed"),
        (Any, 1j, r"got `complex` - at `\$`"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_what_was_expected(
    annotation: object, value: object, message: str
) -> None:
    with pytest.raises(Unfit, match=message):
        Codec(annotation).encode(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)

    with pytest.raises(Unfit, match="does not hold itself"):
        Codec(Any).encode(loop)


@pytest.mark.parametrize("data", [b"", b"{", b"nul", b"\xff", b'{"text": 1}', b"[1, 2]"])
def test_bytes_that_are_not_of_the_type_are_refused(data: bytes) -> None:
    with pytest.raises(Unfit):
        Codec(Note).decode(data)


def test_a_union_takes_the_member_that_loses_nothing() -> None:
    # A Report has fields that Remark would ignore; taken for a Remark it would come back empty.
    assert back(Remark | Report, Report("t", [])) == Report("t", [])


def test_a_union_of_failure_and_a_dataclass_without_required_fields_tells_them_apart() -> None:
    failure = Failure("job", State.DEAD, "ValueError", "no")

    assert back(list[Remark | Failure], [Remark("x"), failure]) == [Remark("x"), failure]


def test_an_annotation_without_a_form_in_json_is_refused() -> None:
    class Client:
        pass

    with pytest.raises(Unfit, match="Client"):
        Codec(Client).decode(b"{}")


def test_the_output_of_a_node_is_not_a_value() -> None:
    with pytest.raises(FlowInvalid, match="only a place"):
        Codec(Any).encode([Output("node 1")])


def test_pydantic_is_not_imported_for_values_that_are_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pydantic")

    assert back(list[Note], [Note("a")]) == [Note("a")]
    assert "pydantic" not in sys.modules
