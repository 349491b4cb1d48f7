"""`lens`, or `python -m lens`. What goes wrong is one sentence on standard error, and status 1."""

import sys

from lens.commands import app
from lens.errors import LensError


def main() -> None:
    try:
        app(prog_name="lens")
    except LensError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
