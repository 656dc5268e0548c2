"""A number stands for one open case of a council."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPEN = sa.text("status <> 'ceased'")


def upgrade() -> None:
    op.drop_index("ix_cases_upn", "cases")
    for number in ("upn", "nhs_number"):
        op.create_index(
            f"uq_cases_administering_la_{number}",
            "cases",
            ["administering_la", number],
            unique=True,
            sqlite_where=OPEN,
            postgresql_where=OPEN,
        )


def downgrade() -> None:
    for number in ("nhs_number", "upn"):
        op.drop_index(f"uq_cases_administering_la_{number}", "cases")
    op.create_index("ix_cases_upn", "cases", ["upn"])
