"""What a mutant is made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """In a module, `new` stands where `old` stands, which is there exactly once."""

    module: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault, and the clauses that it breaks."""

    clauses: tuple[str, ...]
    edits: tuple[Edit, ...]


def mutant(clauses: str, *edits: tuple[str, str, str]) -> Mutant:
    """A mutant that breaks "CLAUSE-1 CLAUSE-2" by edits of (module, old, new); a module of the reference is named
    alone, one of the rules as "rules.NAME"."""
    return Mutant(tuple(clauses.split()), tuple(Edit(_module(name), old, new) for name, old, new in edits))


def _module(name: str) -> str:
    return f"aiq.{name}" if name.startswith("rules.") else f"aiq.backends.memory.{name}"
