"""Digest a folder of documents with a language model: summaries in parallel, an overview, an approval, a file.

    make demo                                        # this repository's spec/, a simulated model, a killed worker
    python examples/digest.py ~/notes --approve      # your own folder; you are asked before anything is published
    python examples/digest.py ~/notes --live --model NAME       # a real provider; costs money

The pipeline is in `digesting/tasks.py`, and the call to the model in `digesting/model.py`: it is made when the limit of
the provider and the budget have room for it. Kill this program, its worker, or both, at any moment, and start it again:
it goes on where it was, and no finished summary is paid for twice.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Of a script, Python knows the folder; the program is in the package around it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from examples.digesting.command import main

    sys.exit(main())
