"""The numbers under which the fields of a record and the states are stored."""

from dataclasses import fields

from aiq.backends.redis.fields import FIELDS, STATES
from aiq.model import JobRecord, State

APART = {"id", "payload", "progress", "result", "errors"}
"""What is not in the record, or has a key of its own."""


def test_every_field_of_a_record_has_a_number_of_its_own() -> None:
    assert {field.name for field in fields(JobRecord)} - APART <= FIELDS.keys()
    assert len(set(FIELDS.values())) == len(FIELDS)


def test_every_state_has_a_place_in_the_log() -> None:
    assert sorted(STATES) == sorted(state.value for state in State)
