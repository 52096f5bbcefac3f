"""`python -m aiq` is the command `aiq`, also where the scripts of an environment are not on the PATH."""

import sys

from aiq.cli import main

if __name__ == "__main__":
    sys.exit(main())
