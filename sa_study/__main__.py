"""Entry point: `python -m sa_study COMMAND`, and the console script `sa-study`."""

import sys

from sa_study.cli import main

if __name__ == "__main__":
    sys.exit(main())
