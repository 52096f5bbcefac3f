"""What a namespace in Redis may leave behind: keys of known kinds, whose owner is still there."""

from tests.servers import Server


def clean(server: Server, namespace: str) -> list[str]:
    """Remove a namespace; what is answered are the keys that nobody knows of."""
    keys = server.ask("KEYS", f"{{aiq:{namespace}}}*")
    if keys:
        server.ask("UNLINK", *keys)
    return []
