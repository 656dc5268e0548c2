"""`python -m ehcp_embedded`: the same as `ehcp`."""

from ehcp_embedded.cli import main

main()
