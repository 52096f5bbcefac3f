"""A job queue for AI work, in pure asyncio."""
