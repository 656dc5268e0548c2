"""`python -m send_statute` prints the reference page."""

import sys

from send_statute.reference import reference_page

sys.stdout.write(reference_page())
