"""A council's policy with its version and its past."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service_kit.tables import UtcDateTime, json_type

revision = "0003_policies"
down_revision = "0002_recorded_late"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nobody could write a policy before: there is no route, so there is no row to keep.
    op.drop_table("council_policy")
    op.create_table(
        "council_policy",
        sa.Column("la_code", sa.String(length=3), nullable=False),
        sa.Column("settings", json_type(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("replan_from", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("la_code", name=op.f("pk_council_policy")),
    )
    op.create_table(
        "policy_version",
        sa.Column("la_code", sa.String(length=3), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("settings", json_type(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("la_code", "version", name=op.f("pk_policy_version")),
    )


def downgrade() -> None:
    op.drop_table("policy_version")
    op.drop_table("council_policy")
    op.create_table(
        "council_policy",
        sa.Column("la_code", sa.String(length=3), nullable=False),
        sa.Column("settings", json_type(), nullable=False),
        sa.PrimaryKeyConstraint("la_code", name=op.f("pk_council_policy")),
    )
