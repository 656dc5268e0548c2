"""The stages that a review missed before its arrival, for the lists that show them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_missed"
down_revision = "0004_calendars"
branch_labels = None
depends_on = None

_MISSED = sa.text("state = 'missed_before_arrival'")


def upgrade() -> None:
    op.create_index(
        "ix_stage_missed", "stage", ["review_id", "stage"], sqlite_where=_MISSED, postgresql_where=_MISSED
    )


def downgrade() -> None:
    op.drop_index("ix_stage_missed", table_name="stage")
