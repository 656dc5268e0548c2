"""How far case-service is known; it takes the place of the second for which a copy was held."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service_kit.tables import UtcDateTime

revision = "0002_knowledge"
down_revision = "0001_initial"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "knowledge",
        sa.Column("topic", sa.String(length=100), nullable=False),
        sa.Column("known_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_knowledge")),
    )
    with op.batch_alter_table("partner_copy", schema=None) as batch_op:
        batch_op.drop_column("visible_from")


def downgrade() -> None:
    with op.batch_alter_table("partner_copy", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "visible_from", UtcDateTime(), nullable=False, server_default="2000-01-01 00:00:00+00:00"
            )
        )
    with op.batch_alter_table("partner_copy", schema=None) as batch_op:
        batch_op.alter_column("visible_from", server_default=None)
    op.drop_table("knowledge")
