"""How the simulator reads a text: tokens, terms, and the sentences of a Markdown or plain document. Pure.

A token is at most eight word characters, or one other visible character, together with the white space
before it. So `"".join(tokens(text)) == text`, and a stream of tokens is the text.
"""

import re
from collections.abc import Iterator
from typing import Final

MIN_SENTENCE_CHARS: Final = 12
"""Shorter pieces of text ("Yes.", "See below.") say nothing out of their place."""

STOP_WORDS: Final = frozenset(
    word
    for line in (
        "about above after again against all also although always among and any anybody anything are because",
        "been before being below between both but can cannot could did does doing done down during each either",
        "else even ever every few for from further had has have having her here hers herself him himself his how",
        "however into its itself just less let like made make many may might mine more most much must myself",
        "neither never nobody none nor not nothing now off often once one only onto other otherwise our ours",
        "ourselves out over own per quite rather same shall she should since some somebody something still such",
        "than that the their theirs them themselves then there therefore these they this those though through",
        "thus too under until upon use used uses very was were what whatever when whenever where wherever whether",
        "which while who whoever whom whose why will with within without would yet you your yours yourself",
    )
    for word in line.split()
)
"""English words that say nothing about what a text is about."""

_TOKEN = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+")
_TERM = re.compile(r"[^\W\d_]{3,}")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_ITEM = re.compile(r"\s*(?:>\s*)*(#{1,6}\s+|[-*+]\s+|\d{1,3}[.)]\s+|\|)?")
# Repeats are bounded or cannot overlap: these patterns take time in proportion to any text whatever.
_LINK = re.compile(r"!?\[([^\]\[]*)\]\([^)\s]{0,500}\)")
_EMPHASIS = re.compile(r"(?<![\w*])\*{1,3}(?=\S)([^*]+)(?<=\S)\*{1,3}(?![\w*])")
_STOP = re.compile(r"[.!?…][\"')\]”’»`]{0,4}\s+|[。！？]+[」』]?\s*")
_FINISHED = re.compile(r"[.!?…。！？][\"')\]”’»`」』]{0,4}$")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:[a-z]|e\.g|i\.e|cf|vs|dr|mr|mrs|ms|prof|fig|approx)\.$", re.IGNORECASE)


def tokens(text: str) -> list[str]:
    """Cut a text into its tokens; joined again they are the text."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Count the tokens of a text without keeping them."""
    return sum(1 for _ in _TOKEN.finditer(text))


def terms(text: str) -> list[str]:
    """List the words that say what a text is about: three letters or more, case folded, no stop words."""
    return [term for term in _TERM.findall(text.casefold()) if term not in STOP_WORDS]


def blocks(text: str) -> list[str]:
    """Cut a Markdown or plain text into its paragraphs, list items, headings and table rows, one line each.

    The marks of Markdown are taken away; fenced code is left out, for no sentence of it can be read aloud.
    """
    found: list[list[str]] = [[]]
    for line in _prose_lines(text):
        mark = _ITEM.match(line)
        content = line[mark.end() :].strip() if mark else line.strip()
        if not content or (mark and mark[1]):
            found.append([])
        found[-1].append(content)
        if mark and mark[1] and mark[1].startswith("#"):
            found.append([])
    return [block for block in (_without_marks(" ".join(lines)) for lines in found) if block]


def sentences(block: str) -> list[str]:
    """Cut a block into its sentences; headings, labels and scraps, which are none, are left out."""
    return [piece for piece in _pieces(block) if _FINISHED.search(piece) and len(piece) >= MIN_SENTENCE_CHARS]


def _prose_lines(text: str) -> Iterator[str]:
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
            yield ""
        elif not fenced:
            yield line


def _without_marks(line: str) -> str:
    return _EMPHASIS.sub(r"\1", _LINK.sub(r"\1", line)).strip()


def _pieces(block: str) -> Iterator[str]:
    start = 0
    for stop in _STOP.finditer(block):
        if _is_end(block, stop):
            yield block[start : stop.end()].strip()
            start = stop.end()
    yield block[start:].strip()


def _is_end(block: str, stop: re.Match[str]) -> bool:
    """Tell a full stop from the dot of an abbreviation, and from one that the sentence goes on after."""
    following = block[stop.end() : stop.end() + 1]
    # Every abbreviation is shorter than the sixteen characters looked at.
    before = block[max(0, stop.start() - 16) : stop.start() + 1]
    return not following.islower() and not _ABBREVIATION.search(before)
