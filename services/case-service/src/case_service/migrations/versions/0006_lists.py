"""The cases of a council in the order in which its list shows them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEPT_FOR_ANOTHER = sa.text("administering_la <> la_code")


def upgrade() -> None:
    op.drop_index("ix_cases_la_code", "cases")
    op.create_index("ix_cases_la_code_updated_at_id", "cases", ["la_code", "updated_at", "id"])
    op.create_index(
        "ix_cases_administering_la_updated_at_id",
        "cases",
        ["administering_la", "updated_at", "id"],
        postgresql_where=KEPT_FOR_ANOTHER,
        sqlite_where=KEPT_FOR_ANOTHER,
    )


def downgrade() -> None:
    op.drop_index("ix_cases_administering_la_updated_at_id", "cases")
    op.drop_index("ix_cases_la_code_updated_at_id", "cases")
    op.create_index("ix_cases_la_code", "cases", ["la_code"])
