"""All faces of a storage in SQL, one for each noun of the contract."""

from aiq.backends.relational.face.budgets import BudgetsFace
from aiq.backends.relational.face.dead import DeadLettersFace
from aiq.backends.relational.face.events import EventsFace
from aiq.backends.relational.face.jobs import JobsFace
from aiq.backends.relational.face.keys import KeysFace
from aiq.backends.relational.face.limits import LimitsFace
from aiq.backends.relational.face.moving import MovingFace
from aiq.backends.relational.face.schedules import SchedulesFace
from aiq.backends.relational.face.signals import SignalsFace
from aiq.backends.relational.face.steps import StepsFace
from aiq.backends.relational.face.streams import StreamsFace
from aiq.backends.relational.face.upkeep import UpkeepFace
from aiq.backends.relational.face.wakeups import WakeupsFace
from aiq.backends.relational.face.workers import WorkersFace


class Faces(
    JobsFace,
    EventsFace,
    DeadLettersFace,
    UpkeepFace,
    KeysFace,
    StepsFace,
    SignalsFace,
    StreamsFace,
    LimitsFace,
    BudgetsFace,
    SchedulesFace,
    WakeupsFace,
    WorkersFace,
    MovingFace,
):
    """What every storage in SQL can do; its door and its own life come from the store."""
