"""When schools are open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service_kit.tables import UtcDateTime, json_type

revision = "0004_calendars"
down_revision = "0003_policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calendar",
        sa.Column("la_code", sa.String(length=3), nullable=False),
        sa.Column("urn", sa.String(length=6), nullable=False),
        sa.Column("terms", json_type(), nullable=False),
        sa.Column("closures", json_type(), nullable=False),
        sa.Column("closed_days", json_type(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("la_code", "urn", name=op.f("pk_calendar")),
    )


def downgrade() -> None:
    op.drop_table("calendar")
