"""Names of statements of SQL. Each store has its own text for each, in `sql/<operation>.sql`: see `sqlfiles`.

A step says what it wants by name, so that it is the same in every store; `claim.next`, say, is the statement `next` of
`sql/claim.sql`.
"""

from functools import cache


class Statements(dict[str, str]):
    """The names of one operation's statements. Whether a store has them is seen by tests, and by its first use."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self._operation = operation

    def __missing__(self, name: str) -> str:
        full = self[name] = f"{self._operation}.{name}"
        return full


@cache
def load(operation: str) -> Statements:
    """The statements of an operation, by name."""
    return Statements(operation)
