"""What every test may use: the rig's Kafka and PostgreSQL, and the summary that is printed last."""

pytest_plugins = ["tests.rig.plugin"]
