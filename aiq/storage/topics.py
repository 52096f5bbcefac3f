"""What can be waited for: the names of what changes."""


def queue_topic(name: str) -> str:
    """The topic of those who wait for a job of a queue to become claimable."""
    return f"queue:{name}"


def job_topic(job_id: str) -> str:
    """The topic of those who wait for a job to move."""
    return f"job:{job_id}"


def stream_topic(job_id: str) -> str:
    """The topic of those who read a job's stream. Apart from the job's own, which a token must not wake."""
    return f"stream:{job_id}"


def limit_topic(name: str) -> str:
    """The topic of calls that wait for room on a limit."""
    return f"limit:{name}"


def events_topic() -> str:
    """The topic of those who read the log of events."""
    return "events"


def room_topic(queue: str) -> str:
    """The topic of producers who wait for room in a queue."""
    return f"room:{queue}"
