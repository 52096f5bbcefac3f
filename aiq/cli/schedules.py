"""The verb about jobs that are made again and again: schedules."""

from argparse import Namespace
from collections.abc import Awaitable, Callable

from aiq.admin import Admin
from aiq.cli.exits import Exit
from aiq.cli.loading import load_worker
from aiq.cli.output import Fact, Output
from aiq.cli.verbs import Verbs, add_actions, add_verb, asking
from aiq.errors import NotFound
from aiq.reports import Difference
from aiq.schedule import Schedule, ScheduleReport
from aiq.storage import Storage
from aiq.worker import Worker

COLUMNS = ("NAME", "WHEN", "NEXT", "LAST JOB", "FIRED", "LEFT OUT", "REFUSED", "STATE")


def add_verbs(verbs: Verbs) -> None:
    """Declare schedules."""
    parser = add_verb(
        verbs,
        "schedules",
        asking(_show),
        help="show schedules with their next slots in their own time zones, or change them",
        example="  aiq schedules\n"
        "  aiq schedules nightly --json\n"
        "  aiq schedules pause nightly       # what comes meanwhile is left out\n"
        "  aiq schedules run nightly         # a job now, beside the slots\n"
        "  aiq schedules diff myapp.jobs:worker    # what stands otherwise than code says\n"
        "  aiq schedules reset myapp.jobs:worker   # what code says counts again",
    )
    actions = add_actions(parser, "show")
    shown = "show the schedules that are named, or all; it is meant where no action is"
    show = add_verb(actions, "show", asking(_show), help=shown, example="  aiq schedules nightly poll")
    show.add_argument("names", metavar="NAME", nargs="*", help="a schedule")
    for name, question, does in (
        ("pause", _pause, "fire no slot until resume; jobs that were made go on"),
        ("resume", _resume, "go on with the first slot from now on"),
        ("delete", _delete, "remove schedules; jobs that were made go on"),
    ):
        action = add_verb(actions, name, asking(question), help=does, example=f"  aiq schedules {name} nightly")
        action.add_argument("names", metavar="NAME", nargs="+", help="a schedule")
    for name, question, does in (
        ("diff", _diff, "show a worker's schedules that are stored otherwise than code names them"),
        ("reset", _reset, "store a worker's schedules as code names them; what is paused stays paused"),
    ):
        example = f"  aiq schedules {name} myapp.jobs:worker"
        action = add_verb(actions, name, asking(question), help=does, example=example)
        action.add_argument("worker", metavar="MODULE:WORKER", help="as for `aiq worker`")
    _add_run(actions)


def _add_run(actions: Verbs) -> None:
    run = add_verb(
        actions,
        "run",
        asking(_run),
        help="make a job of a schedule now, beside its slots, paused or not",
        example="  aiq schedules run nightly\n  aiq schedules run nightly --id ticket-4711     # twice is once",
    )
    run.add_argument("name", metavar="NAME", help="the schedule")
    run.add_argument("--id", metavar="ID", help="the id of the job: asked for again, it is made once")


async def _show(storage: Storage, args: Namespace, output: Output) -> Exit:
    found = await Admin(storage).schedules(*args.names)
    missing = [name for name in args.names if name not in {one.name for one in found}]
    if output.json:
        for one in found:
            output.fact(schedule_fact(one))
    elif found:
        output.table(COLUMNS, [schedule_row(one) for one in found])
        for one in found:
            if one.error:
                output.note(f"{one.name}: its last slot was left out, since its job was refused. {one.error}")
    elif not missing:
        output.note("No schedule is stored.")
    if missing:
        raise NotFound(missing[0], f"No schedule is stored here of the name {', '.join(missing)}.")
    return Exit.DONE


async def _pause(storage: Storage, args: Namespace, output: Output) -> Exit:
    return await _each(Admin(storage).pause_schedule, args.names, output)


async def _resume(storage: Storage, args: Namespace, output: Output) -> Exit:
    return await _each(Admin(storage).resume_schedule, args.names, output)


async def _delete(storage: Storage, args: Namespace, output: Output) -> Exit:
    for name in args.names:
        await Admin(storage).delete_schedule(name)
        output.fact({"name": name, "deleted": True}, f"{name}  deleted")
    return Exit.DONE


async def _diff(storage: Storage, args: Namespace, output: Output) -> Exit:
    worker = load_worker(args.worker)
    found = await _differing(Admin(storage, worker.default_queue), worker)
    for name, one in found.items():
        output.fact({"name": name, "stored": one.stored is not None, "differs": list(one.parts)}, str(one))
    if not found:
        output.note("The schedules stand as code names them.")
    return Exit.NO if found else Exit.DONE


async def _differing(admin: Admin, worker: Worker) -> dict[str, Difference]:
    """The differences of a worker's schedules, by name; those of the limits that they bring are `aiq limits`'s."""
    found = await admin.differences(worker.schedules)
    return {one.code.name: one for one in found if isinstance(one.code, Schedule)}


async def _reset(storage: Storage, args: Namespace, output: Output) -> Exit:
    worker = load_worker(args.worker)
    admin = Admin(storage, worker.default_queue)
    changed = await _differing(admin, worker)
    for one in await admin.put_schedules(worker.schedules):
        word = "reset" if one.name in changed else "unchanged"
        fact = {**schedule_fact(one), "changed": one.name in changed}
        output.fact(fact, f"{one.name}: {word}, {', '.join(filter(None, (one.when, _state(one))))}")
    return Exit.DONE


async def _run(storage: Storage, args: Namespace, output: Output) -> Exit:
    job = await Admin(storage).run_now(args.name, id=args.id)
    output.fact({"name": args.name, "job_id": job.id}, job.id)
    return Exit.DONE


async def _each(deed: Callable[[str], Awaitable[ScheduleReport]], names: list[str], output: Output) -> Exit:
    for name in names:
        one = await deed(name)
        output.fact(schedule_fact(one), f"{name}  {_state(one) or 'goes on'}")
    return Exit.DONE


def schedule_fact(one: ScheduleReport) -> Fact:
    """A schedule as programs are told of it."""
    return {
        "name": one.name,
        "task": one.task,
        "queue": one.queue,
        "when": one.when,
        "tz": one.tz,
        "next": None if one.next is None else one.next.isoformat(),
        "paused": one.paused,
        "over": one.over,
        "fires": one.fires,
        "skipped": one.skipped,
        "refused": one.refused,
        "last_job": one.last_job,
        "last_fired": None if one.last_fired is None else one.last_fired.isoformat(),
        "overlap": one.overlap,
        "missed": one.missed,
        "error": one.error,
        "revision": one.revision,
    }


def schedule_row(one: ScheduleReport) -> list[str]:
    """A schedule as a row of a table: the columns of COLUMNS."""
    next_slot = "-" if one.next is None else f"{one.next:%Y-%m-%d %H:%M:%S %Z}"
    counts = [str(count) for count in (one.fires, one.skipped, one.refused)]
    return [one.name, one.when, next_slot, one.last_job or "-", *counts, _state(one)]


def _state(one: ScheduleReport) -> str:
    if one.over:
        return "over"
    return "paused" if one.paused else ""
