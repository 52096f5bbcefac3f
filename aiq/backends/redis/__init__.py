"""The storage in Redis: one Lua script for each operation, every key of a namespace in one slot."""
