"""The command line, mostly as processes of its own on a SQLite file."""
