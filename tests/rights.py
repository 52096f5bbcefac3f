"""The least rights of a user of Redis as whom a storage can work, and the suite does. docs/redis.md names them."""

import re

from aiq.backends.redis import scripts

USER = "aiq"
_SENT_BY_PYTHON = ("config|get", "eval", "evalsha", "exists", "info", "xread", "xrevrange")
_COMMAND = re.compile(r"\(\s*'([A-Z]{3,})'")


def rights(pattern: str) -> list[str]:
    """What follows ACL SETUSER NAME on >PASSWORD, for the namespaces of a pattern such as `aiq:default`."""
    return ["resetchannels", f"~{{{pattern}}}*", "-@all", *(f"+{command}" for command in commands())]


def commands() -> list[str]:
    """The commands that scripts and the client send."""
    sent = {word.lower() for text in scripts._files().values() for word in _COMMAND.findall(text)}
    return sorted({*sent, *_SENT_BY_PYTHON})
