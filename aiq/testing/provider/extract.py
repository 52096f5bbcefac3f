"""The simulator's answers: the sentences of a document that carry most of its vocabulary. Pure and deterministic."""

import heapq
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aiq.testing.provider.text import blocks, count_tokens, sentences, terms, tokens

MIN_ANSWER_TOKENS: Final = 64
"""Below this length of an answer there is nothing left to leave out."""
MAX_ANSWER_TOKENS: Final = 1_024
"""No answer is longer, whatever the document and `max_tokens`."""
ANSWER_SHARE: Final = 4
"""Between those two bounds an answer is one part in this many of its document."""
NO_TEXT: Final = "There is no text to answer from."

_DOCUMENT_TAG = re.compile(r"</?document\b[^<>]*>", re.IGNORECASE)
_RULE = re.compile(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*$", re.MULTILINE)

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Extract:
    """An answer, and why it ended: `length` if `max_tokens` kept something out of it."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that may be chosen, with its cost in tokens and the terms it carries."""

    text: str
    place: int
    """Its number among all sentences: the order of the answer, and what decides between equals."""
    part: int
    """Which of the documents in the message it comes from."""
    cost: int
    terms: frozenset[str]


def summarise(message: str, max_tokens: int | None = None) -> Extract:
    """Answer a message with the sentences that carry most of its terms, in their own order.

    With `<document>` tags only what they enclose is read. Otherwise all of the message is, but for an opening
    paragraph that ends in a colon: that is the instruction. Documents (tags, or parts between Markdown rules)
    become paragraphs of the answer. Sentences are kept whole; one is cut only where none fits.
    """
    limit = MAX_ANSWER_TOKENS if max_tokens is None else max_tokens
    parts = [blocks(part) for part in _parts(message)]
    candidates = _candidates(parts)
    frequency = Counter(term for part in parts for block in part for term in terms(block))
    wanted = _choose(candidates, frequency, _natural_tokens(parts, candidates))
    if sum(sentence.cost for sentence in wanted) <= limit:
        return Extract(_compose(wanted), "stop")
    fitting = _choose(candidates, frequency, limit)
    return Extract(_compose(fitting) if fitting else _first_tokens(wanted[0].text, limit), "length")


def _parts(message: str) -> list[str]:
    tagged = _DOCUMENT_TAG.split(message)
    if len(tagged) > 1:
        # The pattern has no groups, so inside and outside of the tags take turns.
        return tagged[1::2]
    return _RULE.split(_without_instruction(message))


def _without_instruction(message: str) -> str:
    opening, blank, rest = message.lstrip().partition("\n\n")
    return rest if blank and opening.rstrip().endswith(":") else message


def _candidates(parts: Sequence[Sequence[str]]) -> list[Sentence]:
    """List every sentence; of a message without any, its scraps; and never nothing at all."""
    whole = [(text, number) for number, part in enumerate(parts) for block in part for text in sentences(block)]
    scraps = [(block, number) for number, part in enumerate(parts) for block in part]
    # Of one that is said again, word for word, the first is enough.
    once: dict[str, int] = {}
    for text, part in whole or scraps or [(NO_TEXT, 0)]:
        once.setdefault(text, part)
    return [_sentence(place, part, text) for place, (text, part) in enumerate(once.items())]


def _sentence(place: int, part: int, text: str) -> Sentence:
    kept = _first_tokens(text, MAX_ANSWER_TOKENS)
    return Sentence(kept, place, part, cost=count_tokens(kept), terms=frozenset(terms(kept)))


def _first_tokens(text: str, count: int) -> str:
    return "".join(tokens(text)[:count])


def _natural_tokens(parts: Sequence[Sequence[str]], candidates: Sequence[Sentence]) -> int:
    share = sum(count_tokens(block) for part in parts for block in part) // ANSWER_SHARE
    natural = min(max(share, MIN_ANSWER_TOKENS), MAX_ANSWER_TOKENS)
    # At least one sentence fits, so that no answer is empty.
    return max(natural, min(sentence.cost for sentence in candidates))


def _choose(candidates: Sequence[Sentence], frequency: Mapping[str, int], budget: int) -> list[Sentence]:
    """Pick, best first, sentences that carry the most frequent terms within a budget of tokens.

    Ties go to the earlier sentence, and one that is worth nothing is only picked where all are.

    Source: Minoux 1978, "Accelerated greedy algorithms": worth only falls as picks are made, so a stale figure
    is an upper bound, and only what stands at the top of the heap is weighed again.
    """
    said: Counter[str] = Counter()
    picks: list[Sentence] = []
    heap = [(-_worth(sentence, frequency, said), sentence.place) for sentence in candidates]
    heapq.heapify(heap)
    while heap:
        sentence = candidates[heapq.heappop(heap)[1]]
        if sentence.cost > budget:
            continue
        entry = (-_worth(sentence, frequency, said), sentence.place)
        if heap and entry > heap[0]:
            heapq.heappush(heap, entry)
            continue
        if picks and entry[0] == 0:
            break
        picks.append(sentence)
        said.update(sentence.terms)
        budget -= sentence.cost
    return picks


def _worth(sentence: Sentence, frequency: Mapping[str, int], said: Mapping[str, int]) -> float:
    """Weigh a sentence by its terms, over the square root of its cost: long ones must earn their room.

    A term weighs as often as it is said elsewhere, so that an aside, or an instruction whose words the document
    does not share, is worth nothing; and half of that each time the answer has said it, so that it moves on.
    """
    # Whole numbers, because a sum of fractions would depend on the order of the set, which differs by process.
    weight = sum(max(frequency[term] - 1, 0) >> said[term] for term in sentence.terms)
    return float(weight / sentence.cost**0.5)


def _compose(picks: Sequence[Sentence]) -> str:
    paragraphs: dict[int, list[str]] = {}
    for sentence in sorted(picks, key=lambda sentence: sentence.place):
        paragraphs.setdefault(sentence.part, []).append(sentence.text)
    return "\n\n".join(" ".join(texts) for texts in paragraphs.values())
