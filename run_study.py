"""Entry point: `python run_study.py COMMAND`; see `--help`."""

import sys

from sa_study.cli import main

if __name__ == "__main__":
    sys.exit(main())
