"""What may be stored of texts that others wrote: arguments kept with a group of failures, and what exceptions say.

Done by the worker, before anything leaves it; a store changes no text. What looks like a secret goes; what is left is
for a person to read, so nothing here has to be exact but that. Spec: DEAD-6, RETRY-12
"""

import re
import string
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from aiq.bounds import MAX_ERROR_BYTES, MAX_SAMPLE_BYTES

HIDDEN: Final = "[redacted]"
_SECRET: Final = re.compile(
    r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|credential|cookie",
    re.IGNORECASE,
)
_SECRET_WHOLE: Final = re.compile(r"(?:pwd?|auth|sess(?:ion)?[_-]?id)(?<![a-z]pw)(?<![a-z]auth)\Z", re.IGNORECASE)
"""What is a secret at the end of a name, as a word of its own: no author, and no session that somebody counts."""
_NO_SECRETS: Final = re.compile(r"(?:max|min|num|total|input|output|prompt|completion)?_?tokens\Z", re.IGNORECASE)
"""Counts of tokens are what jobs of this trade are full of."""
_KEYS: Final = (
    *("sk", "pk", "rk", "gsk", "xai", "pplx", "nvapi", "glpat", "whsec", "hf", "r8", "github_pat"),
    *("ghp", "gho", "ghu", "ghs", "ghr", "xoxa", "xoxb", "xoxp", "xoxr", "xoxs", "xoxe"),
)
"""How keys of providers begin, before `-` or `_`."""
_STARTS: Final = "|".join(rf"{key}(?<!\w{key})" for key in _KEYS)
# Each takes time in proportion to the text, whatever that is: what repeats is bounded, or begins where nothing of its
# kind stands before it. And each begins with letters, not with what may stand before them, so that `re` finds by the
# first character where to look at all.
_SHAPES: Final = (
    re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----[\s\S]*?(?:-----END [A-Z0-9 ]{1,64}-----|\Z)"),
    re.compile(r"ey(?<![A-Za-z0-9_-]ey)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(f"(?:{_STARTS})[-_][A-Za-z0-9_-]{{12,}}"),
    re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{16,}"),
    # Of npm, of SendGrid, and of a bot of Telegram, whose number is no secret.
    re.compile(r"npm_(?<!\wnpm_)[A-Za-z0-9]{30,}|SG\.(?<!\wSG\.)[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}"),
    re.compile(r":AA(?<=[0-9]{8}:AA)[A-Za-z0-9_-]{30,}"),
    # Who logs in, in an address.
    re.compile(r"(?<=://)[^\s/@:\"']{0,256}:[^\s/@\"']{1,256}(?=@)"),
)
_NAME: Final = (
    r"(?:password|passwd|passphrase|secret|token|api[_ -]?key|access[_ -]?key|private[_ -]?key|authorization|credential"
    r"|cookie)s?(?:[_-][a-z]{1,16}){0,3}"
)
_SHORT_NAME: Final = (
    r"(?:password|passwd|passphrase|secret|token|api[_ -]?key|session[_-]?id|pw(?<![a-z0-9]pw)d?|auth(?<![a-z0-9]auth))"
)
"""What is one as it stands, so that whatever is assigned to it is a secret, however short. Not a count of tokens."""
_VALUE: Final = r"[a-z0-9._~+/=%-]"
_SAID: Final = (
    re.compile(r"bearer {1,8}([a-z0-9._~+/=-]{8,})"),
    re.compile(r"basic {1,8}(?=[a-z+/]{0,64}[0-9=])([a-z0-9+/=]{8,})"),
    # A parameter of an address: ?key=…&X-Amz-Signature=…
    re.compile(
        r"[?&;][\w.-]{0,40}(?:key|token|secret|sig|signature|password|passwd|pwd|auth|credential)=([^&\s\"'<>#]+)"
    ),
    re.compile(
        rf"{_NAME}(?:\\?[\"']\s{{0,8}}[:=]|\s{{0,8}}=)\s{{0,8}}(?:\\?[\"'])?((?:[a-z]{{1,16}} )?{_VALUE}{{4,}})"
    ),
    re.compile(rf"{_NAME}\s{{0,8}}:\s{{0,8}}[\"']?({_VALUE}{{8,}})"),
    re.compile(rf"{_NAME}\s{{1,8}}(?={_VALUE}{{0,64}}[0-9])({_VALUE}{{16,}})"),
    re.compile(rf"{_SHORT_NAME}(?:\\?[\"']\s{{0,8}}[:=]|\s{{0,8}}=)\s{{0,8}}(?:\\?[\"'])?({_VALUE}+)"),
    # "password is required" says what went wrong.
    re.compile(rf"{_NAME}\s{{1,8}}(?:is|was)\s{{1,8}}[\"']?(?={_VALUE}{{0,64}}[0-9])({_VALUE}{{6,}})"),
)
"""What is said to be a secret: group 1. They are looked for in a text in lower case."""
_LOWER: Final = {ord(sign): sign.lower() for sign in string.ascii_uppercase}
"""ASCII alone, so that places stay what they are."""
_LONGEST_WORD: Final = 512
_DEEPEST: Final = 32
"""Arguments that are nested deeper are not looked into, and not shown."""


def sample_of(payload: bytes) -> str:
    """The arguments of a job as text without secrets, at most MAX_SAMPLE_BYTES."""
    try:
        text = msgspec.json.encode(_cleared(msgspec.json.decode(payload), _DEEPEST)).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        text = cleared_text(_beginning(payload.decode(errors="replace"), MAX_SAMPLE_BYTES + _LONGEST_WORD))
    return text.encode(errors="replace")[:MAX_SAMPLE_BYTES].decode(errors="ignore")


def cleared_text(text: str) -> str:
    """A text without what looks like a secret."""
    lower = text.translate(_LOWER)
    found = [match.span() for shape in _SHAPES for match in shape.finditer(text)]
    found += [match.span(1) for said in _SAID for match in said.finditer(lower)]
    return _without(text, sorted(found)) if found else text


def _without(text: str, found: Iterable[tuple[int, int]]) -> str:
    """A text with a sign in the place of parts of it, which may overlap, and are sorted."""
    kept, place = [], 0
    for start, end in found:
        if start >= place:
            kept += [text[place:start], HIDDEN]
        place = max(place, end)
    return "".join((*kept, text[place:]))


def cleared_error(text: str) -> str:
    """What an exception says, without secrets; no more is looked at than can be stored."""
    return cleared_text(_beginning(text, MAX_ERROR_BYTES))


def _beginning(text: str, most: int) -> str:
    """So much of a text, and not the word at its end where it is cut: half a secret looks like none."""
    if len(text) <= most:
        return text
    space = max(text.rfind(sign, most - _LONGEST_WORD, most) for sign in (" ", "\n"))
    return text[: space if space >= 0 else most - _LONGEST_WORD]


def _cleared(value: object, depth: int) -> object:
    if isinstance(value, str):
        return cleared_text(_beginning(value, MAX_SAMPLE_BYTES + _LONGEST_WORD))
    if not isinstance(value, list | Mapping):
        return value
    if not depth:
        return HIDDEN
    if isinstance(value, list):
        return [_cleared(one, depth - 1) for one in value]
    return {name: HIDDEN if _is_secret(name) else _cleared(one, depth - 1) for name, one in value.items()}


def _is_secret(name: str) -> bool:
    sounds_like_one = _SECRET.search(name) is not None or _SECRET_WHOLE.search(name) is not None
    return sounds_like_one and _NO_SECRETS.search(name) is None
