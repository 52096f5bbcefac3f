"""Keys whose jobs start in the order of enqueueing."""

from typing import Protocol


class Keys(Protocol):
    """What operators do to one ordered key of a queue. Spec: chapter 18."""

    async def pause_key(self, queue: str, key: str) -> None:
        """Start no ordered job of a key from now on, known or not. Running ones go on. Spec: KEY-11"""
        ...

    async def resume_key(self, queue: str, key: str) -> None:
        """Undo `pause_key`, at once. Spec: KEY-11"""
        ...
