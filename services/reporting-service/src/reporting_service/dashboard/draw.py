"""A child process that draws: one Vega-Lite specification per line in, one SVG per line out (both as JSON).

Drawing holds the interpreter lock for as long as it takes, so it must not happen in a process that answers requests.
The child ends when its input does, so it never outlives the service.
"""

from __future__ import annotations

import json
import sys

import vl_convert


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(vl_convert.vegalite_to_svg(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
