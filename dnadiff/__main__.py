"""``python -m dnadiff``: the same as ``dna-diff``."""

import sys

from dnadiff.cli import main

if __name__ == "__main__":
    sys.exit(main())
