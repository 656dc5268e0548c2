"""``python -m notification_service serve|relay|work|migrate``."""

from notification_service.main import service

service.cli()
