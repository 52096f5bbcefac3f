"""JSON without a type: places of outputs, and the one form that digests are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiq.errors import FlowInvalid
from aiq.rules.writing import Output, canonical, digest, write


@dataclass
class Pair:
    left: object
    right: object


class Renamed(msgspec.Struct, rename="camel"):
    first_part: object


def test_outputs_are_written_as_null_and_told_by_their_place() -> None:
    one, two = Output("one"), Output("two")

    written = write({"parts": [1, one, Pair(two, "x")], "plain": None, "named": Renamed(one)})

    assert written.data == b'{"parts":[1,null,{"left":null,"right":"x"}],"plain":null,"named":{"firstPart":null}}'
    assert [(path, place is one, place is two) for path, place in written.places] == [
        (("parts", 1), True, False),
        (("parts", 2, "left"), False, True),
        (("named", "firstPart"), True, False),
    ]


@given(st.lists(st.sampled_from(["output", "output0", "output_", "output_0", "0"])))
def test_no_text_of_the_user_is_taken_for_a_place(texts: list[str]) -> None:
    output = Output("node")

    written = write([*texts, output])

    assert written.data == msgspec.json.encode([*texts, None])
    assert [path for path, _ in written.places] == [(len(texts),)]


MISUSES: list[Callable[..., object]] = [
    lambda output: output + "text",
    lambda output: "text" + output,
    lambda output: f"{output}",
    str,
    lambda output: output["key"],
    lambda output: output.field,
    lambda output: output == "text",
    lambda output: output != "text",
    lambda output: output < 1,
    bool,
    len,
    list,
    lambda output: "x" in output,
    lambda output: output(),
    int,
    lambda output: {output},
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_anything_done_with_an_output_before_it_exists_raises_and_explains(misuse: Callable[..., object]) -> None:
    with pytest.raises(FlowInvalid, match="the output of 'node'> is only a place"):
        misuse(Output("node"))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


def reordered(value: object) -> object:
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items())}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


def in_order(value: object) -> object:
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(inner) for inner in value] if isinstance(value, list) else value


@given(JSON_VALUES)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: object) -> None:
    assert digest(value) == digest(reordered(value))


@given(JSON_VALUES, JSON_VALUES)
def test_digests_are_equal_for_equal_values_alone(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) is (repr(in_order(one)) == repr(in_order(other)))


def test_a_digest_does_not_depend_on_the_order_of_a_set() -> None:
    numbers = [7, 1, 1 << 40, 3]

    assert canonical(set(numbers)) == msgspec.json.encode(sorted(numbers))


def test_a_digest_is_sha_256_in_hex() -> None:
    assert digest([1]) == "080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22"
