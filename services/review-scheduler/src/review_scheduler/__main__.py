"""python -m review_scheduler serve|relay|work|migrate"""

from review_scheduler.main import service

service.cli()
