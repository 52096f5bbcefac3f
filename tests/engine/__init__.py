"""The loops of a worker, each by itself and together, in a time that only moves when nothing else does."""
