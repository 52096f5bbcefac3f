"""Records made from rows, in the order of a statement's columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeAlias

from aiq.backends.relational.terms import read_terms
from aiq.model import Band, Cause, HeldFor, JobRecord, Lane, State
from aiq.model.making import maker

Setter: TypeAlias = Callable[[JobRecord, Any], None]
"""Sets one field, of whatever type that is."""

_SETTERS: Final[Mapping[str, Setter]] = {
    field.name: getattr(JobRecord, field.name).__set__ for field in fields(JobRecord)
}

_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "state": {state.value: state for state in State}.__getitem__,
    "lane": tuple(Lane).__getitem__,
    "band": tuple(Band).__getitem__,
    "cause": lambda value: None if value is None else Cause(value),
    "late": bool,
    "remembers": bool,
    "depends_on": tuple,
}
"""What makes a field of what is stored of it, where that is not the same."""
_HELD: Final[Mapping[str | None, HeldFor | None]] = {None: None, **{reason.value: reason for reason in HeldFor}}

_ADMITTED: Final = [
    _SETTERS[name]
    for name in ("deferred_at_ms", "resumes", "opened_calls", "route", "closed_routes", "held", "held_by")
]
_SET_LIMITS, _SET_ROUTES, _SET_ESTIMATE, _SET_BUDGETS, _SET_CREATES = (
    _SETTERS[name] for name in ("limits", "routes", "estimate", "budgets", "creates")
)
ADMISSION: Final = "admission"
"""A column that stands for the fields that a job which has nothing to do with admission does not have; it is a text,
the terms, where only these differ from what they are in a new job."""


class Maker:
    """Makes records of rows that have these columns; other fields have their defaults."""

    def __init__(self, columns: Sequence[str]) -> None:
        names = [name for name in columns if name != ADMISSION]
        self._admission = columns.index(ADMISSION)
        self._read = [(at, _READ[name]) for at, name in enumerate(names) if name in _READ]
        self._make = maker(JobRecord, names)

    def make(self, row: list[Any]) -> JobRecord:
        """A record, of a row that is used up by it. The columns are of as many types as fields, hence Any."""
        admission = row.pop(self._admission)
        for at, read in self._read:
            row[at] = read(row[at])
        record = self._make(*row)
        if type(admission) is str:
            _agree(record, admission)
        elif admission is not None:
            _admit(record, *admission)
        return record


def overwrite(record: JobRecord, changes: Mapping[str, Any]) -> None:
    """Change a record that was read here, and that nobody else will look at as it was. The changes are fields, of as
    many types, hence Any."""
    for name, value in changes.items():
        _SETTERS[name](record, value)


def _admit(
    record: JobRecord,
    deferred_at_ms: int | None,
    resumes: int,
    opened_calls: int,
    route: int,
    closed_routes: int,
    held: str | None,
    held_by: str,
    terms: str | None,
) -> None:
    """Set the fields that ADMISSION stands for."""
    values = (deferred_at_ms, bool(resumes), bool(opened_calls), route, closed_routes, _HELD[held], held_by)
    for set_field, value in zip(_ADMITTED, values, strict=True):
        set_field(record, value)
    if terms is not None:
        _agree(record, terms)


def _agree(record: JobRecord, text: str) -> None:
    """Set the fields that are in the terms of a job."""
    terms, budgets, creates = read_terms(text, record.id)
    _SET_LIMITS(record, terms.limits)
    _SET_ROUTES(record, terms.routes)
    _SET_ESTIMATE(record, terms.estimate)
    _SET_BUDGETS(record, budgets)
    _SET_CREATES(record, creates)
