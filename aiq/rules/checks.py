"""What a single value may be: names, texts, numbers, sizes. Every other check is made of these. Spec: chapter 9.

Each raises `InvalidInput` or one of its kinds, and returns nothing.
"""

import re
from collections.abc import Mapping
from typing import Final

from aiq import bounds
from aiq.errors import InvalidInput, InvalidName, TooLarge
from aiq.model.usage import check_category

_SHORTER: Final = "Use a shorter text, or a digest of it."
IN_PARTS: Final = "Send it in several parts."
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ORDINAL: Final = re.compile(r"#[0-9]+\Z")


def check_step_name(name: object) -> None:
    """Refuse what is no text of 1 to MAX_STEP_NAME_BYTES bytes, or holds control characters, which no log or terminal
    shows; and what ends like the key of a name that is used again, since two steps would share that key."""
    if not isinstance(name, str) or not name or _CONTROL.search(name) or not _fits(name, bounds.MAX_STEP_NAME_BYTES):
        rule = f"Use a text of 1 to {bounds.MAX_STEP_NAME_BYTES} bytes in UTF-8, without control characters."
        raise InvalidName("step", name, rule)
    if _ORDINAL.search(name):
        raise InvalidName("step", name, 'Its end means a name that is used again: name#2. Use "name 2", or "name-2".')


def check_opaque(kind: str, text: object) -> None:
    """Refuse an id or key that is empty, longer than MAX_OPAQUE_BYTES, or no text that every store can keep."""
    if not isinstance(text, str):
        raise InvalidInput(f"The {kind} is {text!r:.200}; pass a text, for instance str(…) of it.")
    if not text:
        raise InvalidInput(f"The {kind} is empty. Pass a text of 1 to {bounds.MAX_OPAQUE_BYTES} bytes.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(f"The {kind} {text!r} cannot be written as UTF-8.") from error
    if "\0" in text:
        raise InvalidInput(f"The {kind} {text!r} holds a NUL character, which not every store can keep.")
    if size > bounds.MAX_OPAQUE_BYTES:
        raise TooLarge(kind, size, bounds.MAX_OPAQUE_BYTES, _SHORTER, unit=" bytes")


def check_range(kind: str, value: object, low: int, high: int) -> None:
    """Refuse a number outside low..high, ends included, and what is no whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"The {kind} is {value!r:.200}; pass a whole number from {low:,} to {high:,}.")
    if not low <= value <= high:
        raise InvalidInput(f"The {kind} is {value:,}; it must be from {low:,} to {high:,}.")


def check_size(kind: str, data: bytes, bound: int) -> None:
    """Refuse bytes over their bound."""
    if len(data) > bound:
        raise TooLarge(kind, len(data), bound, unit=" bytes")


def check_count(kind: str, count: int, bound: int) -> None:
    """Refuse a list that is longer than one call takes."""
    if count > bound:
        raise TooLarge(kind, count, bound, IN_PARTS)


def check_limit(limit: int, bound: int = bounds.MAX_PAGE) -> None:
    """Refuse a page or sweep of no rows, or of more than `bound`."""
    if limit < 1:
        raise InvalidInput(f"The limit is {limit:,}; ask for 1 to {bound:,}.")
    check_count("limit", limit, bound)


def check_weights(kind: str, weights: Mapping[str, int]) -> None:
    """Refuse weights that are too many, below zero or over MAX_WEIGHT, or of a category outside the alphabet."""
    check_count(f"list of weights of the {kind}", len(weights), bounds.MAX_CATEGORIES)
    for category, weight in weights.items():
        check_category(category)
        check_range(f'weight per mille of "{category}" in the {kind}', weight, 0, bounds.MAX_WEIGHT)


def cut(text: str, most: int = bounds.MAX_ERROR_BYTES) -> str:
    """At most so many bytes of a text, whole characters, and such that every store can keep it.

    What cannot be written as UTF-8 is escaped: a failure must always be recordable.
    """
    kept = text.replace("\0", "\\0").encode(errors="backslashreplace")[:most]
    return kept.decode(errors="ignore")


def _fits(text: str, bound: int) -> bool:
    try:
        return len(text.encode()) <= bound
    except UnicodeEncodeError:
        return False
