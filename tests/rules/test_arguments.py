"""Arguments of a job: bound, stored, filled with the results of others, and read for the handler."""

import typing
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from aiq.errors import PayloadInvalid
from aiq.model import Failure, State
from aiq.rules.arguments import Parameters, upstream
from aiq.rules.writing import Output

if typing.TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Note:
    text: str


async def merge(ctx: "Context", notes: list[Note], *weights: float, title: str = "", **extra: int) -> str:  # type: ignore[name-defined]  # noqa: F821
    return title


def plain(a, b=2):  # type: ignore[no-untyped-def]
    return a


MERGE = Parameters("merge", merge, takes_context=True)


def stored(parameters: Parameters, *args: object, **kwargs: object) -> bytes:
    return parameters.encode(args, kwargs).envelope(str)


def test_the_envelope_is_plain_json_with_a_version() -> None:
    payload = stored(MERGE, [Note("a")], 1, 2.5, title="t", more=3)

    assert payload == b'{"v":1,"a":[[{"text":"a"}],1,2.5],"k":{"title":"t","more":3}}'


def test_arguments_come_back_with_the_types_of_the_annotations() -> None:
    payload = stored(MERGE, [Note("a")], 1, title="t", more=3)

    assert MERGE.decode(payload, {}) == (([Note("a")], 1.0), {"title": "t", "more": 3})


def test_an_argument_by_name_is_stored_as_if_it_were_given_by_place() -> None:
    assert stored(MERGE, notes=[]) == stored(MERGE, []) == b'{"v":1,"a":[[]],"k":{}}'


def test_arguments_without_annotation_come_back_as_plain_json() -> None:
    parameters = Parameters("plain", plain, takes_context=False)

    assert parameters.decode(stored(parameters, Note("a"), b=(1, 2)), {}) == (({"text": "a"}, [1, 2]), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, r'Task "merge" takes \(notes: .*\) -> str: missing a required argument: \'notes\'\.$'),
        (([], 1, "x"), {}, r'Task "merge", argument weights: Expected `float`, got `str`\.$'),
        (([],), {"more": "x"}, r'Task "merge", argument extra: Expected `int`, got `str`\.$'),
        (([Note("a"), 3],), {}, r'Task "merge", argument notes: Expected `object`, got `int` - at `\$\[1\]`\.$'),
        (([],), {"title": object()}, r'Task "merge", argument title: Expected a value with a form in JSON'),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(
    args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(PayloadInvalid, match=message):
        MERGE.encode(args, kwargs)


def filled(function: Callable[..., object], argument: object, **results: bytes | Failure) -> object:
    """The argument as the handler gets it, when the nodes named `results` have ended."""
    parameters = Parameters("task", function, takes_context=False)
    payload = parameters.encode([argument], {}).envelope(lambda output: typing.cast(str, output.node))
    assert set(upstream(payload)) == set(results)
    return parameters.decode(payload, results)[0][0]


def summarize(notes: list[Note]) -> None: ...
def carry_on(notes: list[Note | Failure]) -> None: ...


def test_results_of_other_jobs_are_put_in_their_places_before_types_are_checked() -> None:
    notes = filled(summarize, [Note("a"), Output("one"), Note("c")], one=b'{"text":"b"}')

    assert notes == [Note("a"), Note("b"), Note("c")]


def test_a_result_can_be_a_whole_argument() -> None:
    assert filled(summarize, Output("all"), all=b'[{"text":"a"}]') == [Note("a")]


def test_a_result_that_does_not_fit_its_place_is_refused_by_the_name_of_the_argument() -> None:
    with pytest.raises(PayloadInvalid, match=r"argument notes: Expected `str`, got `int` - at `\$\[0\]\.text`"):
        filled(summarize, [Output("one")], one=b'{"text":1}')


def test_a_failure_stands_where_the_annotation_allows_it() -> None:
    failure = Failure("one", State.DEAD, "ValueError", "no")

    assert filled(carry_on, [Output("one"), Output("two")], one=failure, two=b'{"text":"b"}') == [failure, Note("b")]


def test_a_failure_is_refused_where_the_annotation_does_not_allow_it() -> None:
    with pytest.raises(PayloadInvalid, match="missing required field `text`"):
        filled(summarize, [Output("one")], one=Failure("one", State.DEAD))


def test_upstream_names_each_job_once_in_the_order_of_places() -> None:
    one, two = Output("1"), Output("2")
    arguments = MERGE.encode(([two, one, two],), {"title": one})

    assert upstream(arguments.envelope(lambda output: typing.cast(str, output.node))) == ("2", "1")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "not an envelope"),
        (b"[]", "not an envelope"),
        (b'{"v":1,"a":[]}', "missing required field `k`"),
        (b'{"v":2,"a":[],"k":{}}', "has version 2, and this aiq reads 1"),
        (b'{"v":1,"a":[],"k":{}}', "missing a required argument: 'notes'"),
        (b'{"v":1,"a":[[]],"k":{"notes":[]}}', "multiple values for argument 'notes'"),
        (b'{"v":1,"a":[[]],"k":{},"o":[[["a",0,3],"one"]]}', r"a place .* not in it: \$\.a\[0\]\[3\]"),
    ],
)
def test_a_payload_that_this_version_cannot_read_is_refused(payload: bytes, message: str) -> None:
    with pytest.raises(PayloadInvalid, match=message):
        MERGE.decode(payload, {"one": b"1"})


def test_an_annotation_that_only_type_checkers_can_read_is_explained() -> None:
    def pay(amount: "Decimal") -> None: ...

    with pytest.raises(PayloadInvalid, match=r"'Decimal' is not defined; .* outside `if TYPE_CHECKING`"):
        Parameters("pay", pay, takes_context=False).encode([1], {})


def test_the_context_may_be_known_to_type_checkers_alone() -> None:
    assert MERGE.decode(stored(MERGE, []), {}) == (([],), {})
