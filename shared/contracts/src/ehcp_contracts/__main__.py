"""`python -m ehcp_contracts publish|check`: write the published contracts, or see that they are true."""

from __future__ import annotations

import argparse
import sys

from ehcp_contracts.publish import check, publish


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if all is well, 1 with a line per fault on stderr."""
    parser = argparse.ArgumentParser(prog="python -m ehcp_contracts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    publishing = commands.add_parser(
        "publish", help="write the golden files; refuses to break a published version"
    )
    publishing.add_argument(
        "--unreleased",
        action="store_true",
        help="overwrite versions that nobody outside this repository has read",
    )
    commands.add_parser("check", help="freshness, compatibility and personal data; writes nothing")
    chosen = parser.parse_args(arguments)
    faults = check() if chosen.command == "check" else publish(unreleased=chosen.unreleased)
    for fault in faults:
        sys.stderr.write(f"contracts: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
