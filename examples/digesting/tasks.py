"""The pipeline: one job a document, a parent that composes and waits for a person, and a job that publishes.

No question is sent before the limit of the provider and the budget of the digest have room for it. Nothing here knows
about terminals, processes or the folder as it is now. What a task needs is in its arguments, and an argument that is
large (a document) travels as the address of a file and its digest.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiq

QUEUE: Final = "digest"
PROVIDER: Final = aiq.Limit("provider", requests=60, tokens=150_000, burst=4)
"""What the provider lets through in a minute, and how many seconds' worth of that at once: a little less than it does,
for a request that is late on its way. The limit is stored where it is absent; `aiq limits set provider` changes it."""
BUDGET: Final = aiq.Budget(usd="1.00")
"""The most that one digest may cost, with all its jobs. One that needs more is held until somebody grants it."""
SIMULATED: Final = "simulated"
"""The model of the simulator."""
PRICES: Final = (aiq.Price(SIMULATED, "input", "2.50"), aiq.Price(SIMULATED, "output", "10"))
"""Dollars for a million tokens. Those of real models come with the extra `prices`, or from `aiq prices MODEL …`."""
TENANT: Final = "demo"
"""Whose digest it is. Where there are several tenants, each gets its share of the limits."""
APPROVAL: Final = aiq.Signal("approval", bool)
"""A person says whether the draft may be published."""

SUMMARY, OVERVIEW, DRAFT = "summary", "overview", "draft"
"""Names of steps: what stands under them is there for good, whoever is killed."""
SUMMARISE: Final = "Summarise this document in at most eight sentences, in its own words where you can:"
COMPOSE: Final = "These are summaries of the documents of one folder. Write an overview of the whole, a paragraph each:"

MAX_DOCUMENT_BYTES: Final = 200_000
"""What is read of one document; models have limits too."""
MAX_ANSWER_TOKENS: Final = 1_000
CHARS_PER_TOKEN: Final = 3
"""Rather too few: what is set aside and not used comes back, and a question that was set too small may be refused."""

# A lease of 3 s is far too short for production (30 s is the default): here somebody watches how long it takes
# until a killed worker's jobs go on. Many attempts, because whoever plays with `kill -9` uses up one each time.
paid: Final = aiq.task(
    queue=QUEUE,
    lease=3,
    retry=aiq.Retry(attempts=25, first_delay=0.5, max_delay=20, never=(FileNotFoundError, PermissionError)),
    max_stalls=25,
)


@dataclass(frozen=True, slots=True)
class Document:
    """A file below the folder of its plan, and what was in it when the plan was made."""

    name: str
    digest: str
    bytes: int

    def read(self, folder: str) -> str:
        """Read the file again.

        Raises:
            Fatal: it has changed since; a digest of it would be a digest of something else.
            OSError: it is gone.
        """
        content = (Path(folder) / self.name).read_bytes()
        if content_digest(content) != self.digest:
            raise aiq.Fatal(f"{self.name} has changed since this digest was started. Start again to digest it anew.")
        return content[:MAX_DOCUMENT_BYTES].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be digested, by which model, and where to. The id of the job is made of all of it."""

    folder: str
    documents: tuple[Document, ...]
    model: str
    output: str
    edition: int = 1
    """Tells apart digests of the same content, when somebody wants another one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, and what it counted."""

    text: str
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Published:
    """A file that was written, once."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a digest ended. `published` is None when the person said no."""

    overview: Answer
    published: Published | None


@paid
async def digest(ctx: aiq.Context, plan: Plan) -> Outcome:
    """Summarise every document, compose, ask a person, publish. It holds no worker while it waits."""
    jobs = [summarize.job(plan.folder, document, plan.model) for document in plan.documents]
    answers = await ctx.gather("documents", jobs, on_failure="continue")
    if all(isinstance(answer, aiq.Failure) for answer in answers):
        raise aiq.Fatal("No document could be summarised; the jobs of the documents say why.")
    overview = await ctx.step(OVERVIEW, compose, ctx, plan, answers)
    # Pure, and a step all the same: the person who approves reads it from there, and publishes what was read.
    draft = await ctx.step(DRAFT, render, plan, overview, answers)
    if not await ctx.wait_for(APPROVAL):
        return Outcome(overview, None)
    [published] = await ctx.gather("publication", [publish.job(plan.output, draft)])
    return Outcome(overview, published)


@digest.estimate
def _(plan: Plan) -> aiq.Estimate:
    """Nothing: when it starts, it asks nobody. For the overview it asks `ctx.call`, as it runs; its model is named so
    that one without a price is told of at once."""
    return aiq.Estimate(input=0, max_output=0, model=plan.model)


@paid(limits=[PROVIDER])
async def summarize(ctx: aiq.Context, folder: str, document: Document, model: str) -> Answer:
    """Summarise one document; the call is a step, so that it is paid once."""
    return await ctx.step(SUMMARY, summary_of, ctx, folder, document, model)


@summarize.estimate
def _(folder: str, document: Document, model: str) -> aiq.Estimate:
    """Known from the size of the file, so that the job starts when the provider has room for its question."""
    size = min(document.bytes, MAX_DOCUMENT_BYTES)
    return aiq.Estimate(input=size // CHARS_PER_TOKEN, max_output=MAX_ANSWER_TOKENS, model=model)


@aiq.task(queue=QUEUE, lease=3)
def publish(output: str, markdown: str) -> Published:
    """Write a file whole or not at all: under another name, to the disk, and only then under its own.

    A worker that dies between the rename and the end of the job leaves a file that is right, and the job runs again.
    It finds what it would write, and leaves it alone.
    """
    path, content = Path(output), markdown.encode()
    if not (path.exists() and path.read_bytes() == content):
        beside = path.with_name(f".{path.name}.part")
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    return Published(output, len(content), content_digest(content))


TASKS: Final = (digest, summarize, publish)


async def summary_of(ctx: aiq.Context, folder: str, document: Document, model: str) -> Answer:
    """Ask a model for a summary of one document."""
    from examples.digesting.model import ask  # slow to import, and only workers ask

    return await ask(ctx, SUMMARY, model, SUMMARISE, [(document.name, document.read(folder))])


async def compose(ctx: aiq.Context, plan: Plan, answers: Sequence[Answer | aiq.Failure]) -> Answer:
    """Ask a model for an overview, from the summaries that there are."""
    from examples.digesting.model import ask  # as above

    summaries = [
        (document.name, answer.text)
        for document, answer in zip(plan.documents, answers, strict=True)
        if isinstance(answer, Answer)
    ]
    return await ask(ctx, OVERVIEW, plan.model, COMPOSE, summaries)


def render(plan: Plan, overview: Answer, answers: Sequence[Answer | aiq.Failure]) -> str:
    """Put the page together that will be published."""
    page = [f"# Digest of {Path(plan.folder).name}", overview.text]
    for document, answer in zip(plan.documents, answers, strict=True):
        text = answer.text if isinstance(answer, Answer) else f"*Not summarised: {answer.message}*"
        page += [f"## {document.name}", text]
    page.append(f"*{len(plan.documents)} documents, summarised by {plan.model}.*")
    return "\n\n".join(page) + "\n"


def content_digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
