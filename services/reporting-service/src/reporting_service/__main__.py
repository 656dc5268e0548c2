"""`python -m reporting_service serve|work|migrate|rebuild`."""

import sys

from reporting_service import rebuild
from reporting_service.main import service

if sys.argv[1:] == ["rebuild"]:
    rebuild.cli()
else:
    service.cli()
