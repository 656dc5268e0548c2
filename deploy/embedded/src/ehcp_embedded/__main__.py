"""`ehcp`, or `python -m ehcp_embedded`."""

import gc
import sys


def main() -> None:
    """Run the command named on the command line."""
    gc.disable()  # what is loaded stays: to look for garbage meanwhile takes a sixth of the start
    from ehcp_embedded.cli import app
    from service_kit import collector

    collector.settle()
    sys.exit(app())


if __name__ == "__main__":
    main()
