"""What is recorded late: two open reviews of a kind if their due dates differ, and corrections of recorded days."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service_kit.tables import UtcDateTime

revision = "0002_recorded_late"
down_revision = "0001_initial"
branch_labels = None
depends_on = None

_OPEN = sa.text("closed_on IS NULL")


def upgrade() -> None:
    op.drop_index("uq_review_one_open", table_name="review")
    op.create_index(
        "uq_review_one_open",
        "review",
        ["case_id", "kind", "due_on"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.add_column("review", sa.Column("satisfied_on", sa.Date(), nullable=True))
    op.execute(
        "UPDATE review SET satisfied_on = (SELECT other.concluded_on FROM review other WHERE other.id = review.satisfied_by) "
        "WHERE satisfied_by IS NOT NULL"
    )
    op.create_table(
        "correction",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=20), nullable=False),
        sa.Column("old", sa.Date(), nullable=True),
        sa.Column("new", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("note", sa.String(length=1000), nullable=True),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["review_id"], ["review.id"], name=op.f("fk_correction_review_id_review")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
    )
    op.create_index(op.f("ix_correction_review_id"), "correction", ["review_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_correction_review_id"), table_name="correction")
    op.drop_table("correction")
    with op.batch_alter_table("review") as review:
        review.drop_column("satisfied_on")
    op.drop_index("uq_review_one_open", table_name="review")
    op.create_index(
        "uq_review_one_open",
        "review",
        ["case_id", "kind"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
