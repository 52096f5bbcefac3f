"""Other queues beside ours: what drives each of them, and the run that measures all in turn."""
