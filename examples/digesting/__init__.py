"""The parts of `examples/digest.py`. Read `tasks` first: the pipeline is there, and it is short."""
