"""The migration and the tables say the same."""

from __future__ import annotations

from notification_service.tables import metadata
from service_kit import migrate


async def test_the_migration_makes_exactly_the_tables_of_the_code(quiet_town) -> None:
    assert await migrate.differences(quiet_town.app.hub.db, metadata) == []


async def test_migrating_again_changes_nothing(quiet_town) -> None:
    """bad-inputs 7.9."""
    await quiet_town.app.running.migrate()
    assert await quiet_town.app.running.is_current()
