"""``python -m case_service serve|relay|work|migrate``."""

from case_service.main import service

service.cli()
