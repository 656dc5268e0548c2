"""Where in a snapshot the reason stands for which it was not taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("pointer", sa.String(200), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("quarantine", "pointer")
