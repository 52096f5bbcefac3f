"""Whether the dead-letter view says of the jobs what they are. Spec: DEAD-1"""

from collections import Counter
from collections.abc import Iterator

from aiq.backends.memory.data import Tables
from aiq.model import JobRecord, State, Violation


def of_grave(tables: Tables, record: JobRecord) -> Iterator[tuple[str, str]]:
    """Each dead job stands in a group, and what had another generation is known."""
    graves = tables.graves
    if (record.state is State.DEAD) is not (record.id in graves.deaths):
        yield "DEAD-1", f"it is {record.state}, and the groups of the dead do not agree"
    if (record.generation > 1) is not (record.id in graves.following):
        yield "DEAD-11", f"it is in generation {record.generation}, and its redrives do not agree"


def of_groups(tables: Tables) -> Iterator[Violation]:
    """Each group counts the jobs that stand in it."""
    graves = tables.graves
    dead = Counter(death.fingerprint for death in graves.deaths.values())
    for name in {*graves.groups, *dead}:
        group = graves.groups.get(name)
        if group is None or group.dead != dead[name] or len(graves.members.get(name, ())) != dead[name]:
            yield Violation("DEAD-3", name, f"the group counts other jobs than the {dead[name]} that stand in it")
    for job_id in {*graves.deaths, *graves.following} - tables.jobs.keys():
        yield Violation("DEAD-1", job_id, "it is not stored, and known to the groups of the dead")
