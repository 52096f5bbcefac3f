"""Frozen values that are made many at a time are the same as those that are made one by one."""

from dataclasses import FrozenInstanceError, dataclass, field, fields

import pytest

from aiq.model import Band, JobRecord, JobSpec, State
from aiq.model.making import maker

RECORD = JobRecord(id="a", task="work", state=State.RUNNING, payload=b"x", fence=3, band=Band.HIGH)


def test_a_value_of_all_its_fields_is_equal_to_its_like() -> None:
    names = [field.name for field in fields(JobRecord)]

    made = maker(JobRecord, names)(*[getattr(RECORD, name) for name in names])

    assert (made, hash(made), repr(made)) == (RECORD, hash(RECORD), repr(RECORD))


def test_what_is_not_given_is_as_by_default() -> None:
    assert maker(JobSpec, ("task", "id"))("work", "a", payload=b"x") == JobSpec(id="a", task="work", payload=b"x")


def test_a_value_that_was_made_is_frozen() -> None:
    made = maker(JobRecord)(id="a", task="work", state=State.READY)

    assert type(made) is JobRecord
    with pytest.raises(FrozenInstanceError):
        made.fence = 2


def test_a_field_that_has_no_default_must_be_given() -> None:
    with pytest.raises(TypeError, match="state"):
        maker(JobRecord)(id="a", task="work")


def test_a_class_with_a_default_that_is_made_anew_for_each_value_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Bag:
        things: list[str] = field(default_factory=list)

    with pytest.raises(AssertionError):
        maker(Bag)
