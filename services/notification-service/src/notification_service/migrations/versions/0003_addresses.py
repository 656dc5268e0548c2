"""Addresses of webhooks: proposed, approved by a second person, confirmed by an echo. Those in use stay in use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service_kit.tables import UtcDateTime

revision = "0003_addresses"
down_revision = "0002_knowledge"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("proposed_by", sa.String(length=255), nullable=False),
        sa.Column("proposed_at", UtcDateTime(), nullable=False),
        sa.Column("approved_by", sa.String(length=255), nullable=True),
        sa.Column("approved_at", UtcDateTime(), nullable=True),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("challenge", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", UtcDateTime(), nullable=True),
        sa.Column("failure", sa.String(length=20), nullable=True),
        sa.CheckConstraint(
            "state IN ('proposed', 'approved', 'confirmed', 'failed', 'superseded')",
            name=op.f("ck_address_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscription.id"], name=op.f("fk_address_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address")),
    )
    op.create_index("ix_address_subscription", "address", ["subscription_id", "id"])
    op.create_index(
        "ix_address_due",
        "address",
        ["next_try_at"],
        sqlite_where=sa.text("state = 'approved'"),
        postgresql_where=sa.text("state = 'approved'"),
    )
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_subscription_status_known"), type_="check")
        batch_op.create_check_constraint(
            op.f("ck_subscription_status_known"), "status IN ('proposed', 'active', 'disabled', 'deleted')"
        )


def downgrade() -> None:
    op.execute("UPDATE subscription SET status = 'disabled' WHERE status = 'proposed'")
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_subscription_status_known"), type_="check")
        batch_op.create_check_constraint(
            op.f("ck_subscription_status_known"), "status IN ('active', 'disabled', 'deleted')"
        )
    op.drop_index("ix_address_due", table_name="address")
    op.drop_index("ix_address_subscription", table_name="address")
    op.drop_table("address")
