"""Turn `python -m epnas_dsl` into the command `epnas`."""

from __future__ import annotations

import sys

from epnas_dsl.cli import main

if __name__ == "__main__":
    sys.exit(main())
