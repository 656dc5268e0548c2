"""The fingerprint of the line that a case was last taken from; numbers of children before councils in their indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = sa.text("status <> 'ceased'")
NUMBERS = ("upn", "nhs_number")


def upgrade() -> None:
    op.add_column("cases", sa.Column("source_line", sa.LargeBinary(32), nullable=True))
    op.create_index("uq_cases_source_line", "cases", ["source_line"], unique=True)
    for number in NUMBERS:
        op.drop_index(f"uq_cases_administering_la_{number}", "cases")
        _unique(f"uq_cases_{number}_administering_la", number, "administering_la")


def downgrade() -> None:
    for number in reversed(NUMBERS):
        op.drop_index(f"uq_cases_{number}_administering_la", "cases")
        _unique(f"uq_cases_administering_la_{number}", "administering_la", number)
    op.drop_index("uq_cases_source_line", "cases")
    op.drop_column("cases", "source_line")


def _unique(name: str, *columns: str) -> None:
    op.create_index(name, "cases", list(columns), unique=True, sqlite_where=OPEN, postgresql_where=OPEN)
