"""A council's interval between interim reviews under five."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "under5_intervals",
        sa.Column("la_code", sa.String(length=3), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("la_code", "policy_version", name=op.f("pk_under5_intervals")),
    )


def downgrade() -> None:
    op.drop_table("under5_intervals")
