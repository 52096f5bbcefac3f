"""What is left of a limit, and what each step of a call changes of it. Spec: chapter 10."""

from aiq.model import LimitSpec, LimitState, LimitStatus, Part, QueueSettings, Remaining


def check_limit(spec: LimitSpec) -> None: raise NotImplementedError
def of_queue(queue: str, settings: QueueSettings) -> LimitSpec | None:
    """The limit "queue:NAME" of a queue's own settings, None if it has neither concurrency nor rate. QUEUE-2"""
    raise NotImplementedError
def opening(spec: LimitSpec, now_ms: int) -> LimitState: raise NotImplementedError
def refilled(spec: LimitSpec, state: LimitState, now_ms: int) -> LimitState: raise NotImplementedError
def wait_ms(spec: LimitSpec, state: LimitState, part: Part, ahead: tuple[int, int, int] = (0, 0, 0)) -> int | None: raise NotImplementedError
def taken(spec: LimitSpec, state: LimitState, part: Part) -> LimitState: raise NotImplementedError
def returned(spec: LimitSpec, state: LimitState, part: Part) -> LimitState: raise NotImplementedError
def reported(spec: LimitSpec, state: LimitState, part: Part, used: int) -> tuple[LimitState, Part]: raise NotImplementedError
def settled(spec: LimitSpec, state: LimitState, part: Part, used: int) -> LimitState: raise NotImplementedError
def expired(spec: LimitSpec, state: LimitState, part: Part) -> LimitState: raise NotImplementedError
def corrected(spec: LimitSpec, state: LimitState, assumed: int, used: int) -> LimitState: raise NotImplementedError
def released(state: LimitState) -> LimitState: raise NotImplementedError
def throttled(spec: LimitSpec, state: LimitState, tokens: int, retry_after_ms: int | None, now_ms: int) -> LimitState: raise NotImplementedError
def synced(spec: LimitSpec, state: LimitState, remaining: Remaining) -> LimitState: raise NotImplementedError
def reshaped(old: LimitSpec, new: LimitSpec, state: LimitState, now_ms: int) -> LimitState: raise NotImplementedError
def status(spec: LimitSpec, key: str, state: LimitState | None, now_ms: int, waiting: int) -> LimitStatus: raise NotImplementedError
def never_fits(spec: LimitSpec, part: Part) -> bool: raise NotImplementedError
