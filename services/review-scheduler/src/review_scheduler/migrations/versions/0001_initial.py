"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service_kit.tables import UtcDateTime, big_serial, json_type

revision = "0001_initial"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "council_policy",
        sa.Column("la_code", sa.String(length=3), nullable=False),
        sa.Column("settings", json_type(), nullable=False),
        sa.PrimaryKeyConstraint("la_code", name=op.f("pk_council_policy")),
    )
    op.create_table(
        "idempotency",
        sa.Column("caller", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", json_type(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency")),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_answered_at"), ["answered_at"], unique=False)

    op.create_table(
        "inbox",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_inbox")),
    )
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_inbox_received_at"), ["received_at"], unique=False)

    op.create_table(
        "last_received",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "subject", name=op.f("pk_last_received")),
    )
    op.create_table(
        "outbox",
        sa.Column("position", big_serial(), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("held_reason", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_event_id")),
        sa.UniqueConstraint("subject", "sequence", name=op.f("uq_outbox_subject_sequence")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_outbox_unpublished",
            ["position"],
            unique=False,
            postgresql_where=sa.text("published_at IS NULL"),
            sqlite_where=sa.text("published_at IS NULL"),
        )

    op.create_table(
        "parked",
        sa.Column("position", big_serial(), autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("parked_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_parked")),
        sa.UniqueConstraint("topic", "digest", name=op.f("uq_parked_topic_digest")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("parked", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_parked_state"), ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_parked_subject"), ["subject"], unique=False)

    op.create_table(
        "plan",
        sa.Column("responsible_la", sa.String(length=3), nullable=False),
        sa.Column("administering_la", sa.String(length=3), nullable=False),
        sa.Column("urn", sa.String(length=6), nullable=True),
        sa.Column("setting", sa.String(length=4), nullable=True),
        sa.Column("icb", sa.String(length=10), nullable=True),
        sa.Column("social_care_team", sa.String(length=100), nullable=True),
        sa.Column("officer", sa.String(length=100), nullable=True),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("plan_first_made", sa.Date(), nullable=False),
        sa.Column("last_concluded", sa.Date(), nullable=True),
        sa.Column("facts", json_type(), nullable=False),
        sa.Column("interims_done_to", sa.Date(), nullable=True),
        sa.Column("phase_done_for", sa.Date(), nullable=True),
        sa.Column("in_force_to", sa.Date(), nullable=True),
        sa.Column("ceased_on", sa.Date(), nullable=True),
        sa.Column("known_since", sa.Date(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_plan")),
    )
    with op.batch_alter_table("plan", schema=None) as batch_op:
        batch_op.create_index(
            "ix_plan_administering_la",
            ["administering_la"],
            unique=False,
            postgresql_where=sa.text("administering_la <> responsible_la"),
            sqlite_where=sa.text("administering_la <> responsible_la"),
        )
        batch_op.create_index("ix_plan_officer", ["responsible_la", "officer"], unique=False)

    op.create_table(
        "sequences",
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sequences")),
    )
    op.create_table(
        "ticks",
        sa.Column("job", sa.String(length=100), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_ticks")),
    )
    op.create_table(
        "review",
        sa.Column("responsible_la", sa.String(length=3), nullable=False),
        sa.Column("administering_la", sa.String(length=3), nullable=False),
        sa.Column("urn", sa.String(length=6), nullable=True),
        sa.Column("setting", sa.String(length=4), nullable=True),
        sa.Column("icb", sa.String(length=10), nullable=True),
        sa.Column("social_care_team", sa.String(length=100), nullable=True),
        sa.Column("officer", sa.String(length=100), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("counted_from", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("alternative_due_on", sa.Date(), nullable=True),
        sa.Column("latest_meeting_on", sa.Date(), nullable=False),
        sa.Column("rule_id", sa.String(length=60), nullable=False),
        sa.Column("citation", sa.String(length=200), nullable=False),
        sa.Column("counts_as_statutory", sa.Boolean(), nullable=False),
        sa.Column("deadline_impossible", sa.Boolean(), nullable=False),
        sa.Column("meeting_on", sa.Date(), nullable=True),
        sa.Column("notice_due", sa.Date(), nullable=True),
        sa.Column("advice_due", sa.Date(), nullable=True),
        sa.Column("held_on", sa.Date(), nullable=True),
        sa.Column("report_due", sa.Date(), nullable=True),
        sa.Column("report_received_on", sa.Date(), nullable=True),
        sa.Column("meeting_limb_due", sa.Date(), nullable=True),
        sa.Column("decision_due", sa.Date(), nullable=True),
        sa.Column("final_longstop", sa.Date(), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=True),
        sa.Column("notified_on", sa.Date(), nullable=True),
        sa.Column("override_reason", sa.String(length=40), nullable=True),
        sa.Column("notice_id", sa.Uuid(), nullable=True),
        sa.Column("notice_sent_on", sa.Date(), nullable=True),
        sa.Column("amended_plan_issued_on", sa.Date(), nullable=True),
        sa.Column("amendment_dropped_on", sa.Date(), nullable=True),
        sa.Column("concluded_on", sa.Date(), nullable=True),
        sa.Column("days_late", sa.Integer(), nullable=True),
        sa.Column("withdrawn_because", sa.String(length=20), nullable=True),
        sa.Column("satisfied_by", sa.Uuid(), nullable=True),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("breaches", json_type(), nullable=False),
        sa.Column("dates", json_type(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "(status IN ('due', 'booked', 'held', 'reported', 'decided')) = (closed_on IS NULL)",
            name=op.f("ck_review_open_or_closed"),
        ),
        sa.CheckConstraint(
            "status <> 'concluded' OR (outcome IS NOT NULL AND notified_on IS NOT NULL AND concluded_on IS NOT NULL)",
            name=op.f("ck_review_never_concluded_without_decision"),
        ),
        sa.CheckConstraint(
            "status IN ('due', 'booked', 'held', 'reported', 'decided', 'concluded', 'withdrawn')",
            name=op.f("ck_review_status_known"),
        ),
        sa.ForeignKeyConstraint(["case_id"], ["plan.case_id"], name=op.f("fk_review_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.create_index(
            "ix_review_administering_la",
            ["administering_la", "due_on", "id"],
            unique=False,
            postgresql_where=sa.text("administering_la <> responsible_la"),
            sqlite_where=sa.text("administering_la <> responsible_la"),
        )
        batch_op.create_index("ix_review_case_id", ["case_id"], unique=False)
        batch_op.create_index("ix_review_icb", ["icb", "due_on", "id"], unique=False)
        batch_op.create_index(
            "ix_review_icb_open",
            ["icb", "due_on", "id"],
            unique=False,
            postgresql_where=sa.text("closed_on IS NULL"),
            sqlite_where=sa.text("closed_on IS NULL"),
        )
        batch_op.create_index("ix_review_responsible_la", ["responsible_la", "due_on", "id"], unique=False)
        batch_op.create_index(
            "ix_review_responsible_open",
            ["responsible_la", "due_on", "id"],
            unique=False,
            postgresql_where=sa.text("closed_on IS NULL"),
            sqlite_where=sa.text("closed_on IS NULL"),
        )
        batch_op.create_index(
            "ix_review_social_care_team", ["social_care_team", "due_on", "id"], unique=False
        )
        batch_op.create_index("ix_review_updated_at", ["updated_at", "id"], unique=False)
        batch_op.create_index("ix_review_urn", ["urn", "due_on", "id"], unique=False)
        batch_op.create_index(
            "uq_review_one_open",
            ["case_id", "kind"],
            unique=True,
            postgresql_where=sa.text("closed_on IS NULL"),
            sqlite_where=sa.text("closed_on IS NULL"),
        )

    op.create_table(
        "stage",
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.String(length=10), nullable=False),
        sa.Column("on", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=21), nullable=False),
        sa.Column("sent_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["review_id"], ["review.id"], name=op.f("fk_stage_review_id")),
        sa.PrimaryKeyConstraint("review_id", "stage", name=op.f("pk_stage")),
    )
    with op.batch_alter_table("stage", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stage_pending",
            ["on", "review_id", "stage"],
            unique=False,
            postgresql_where=sa.text("state = 'pending'"),
            sqlite_where=sa.text("state = 'pending'"),
        )


def downgrade() -> None:
    with op.batch_alter_table("stage", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_stage_pending",
            postgresql_where=sa.text("state = 'pending'"),
            sqlite_where=sa.text("state = 'pending'"),
        )

    op.drop_table("stage")
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_review_one_open",
            postgresql_where=sa.text("closed_on IS NULL"),
            sqlite_where=sa.text("closed_on IS NULL"),
        )
        batch_op.drop_index("ix_review_urn")
        batch_op.drop_index("ix_review_updated_at")
        batch_op.drop_index("ix_review_social_care_team")
        batch_op.drop_index(
            "ix_review_responsible_open",
            postgresql_where=sa.text("closed_on IS NULL"),
            sqlite_where=sa.text("closed_on IS NULL"),
        )
        batch_op.drop_index("ix_review_responsible_la")
        batch_op.drop_index(
            "ix_review_icb_open",
            postgresql_where=sa.text("closed_on IS NULL"),
            sqlite_where=sa.text("closed_on IS NULL"),
        )
        batch_op.drop_index("ix_review_icb")
        batch_op.drop_index("ix_review_case_id")
        batch_op.drop_index(
            "ix_review_administering_la",
            postgresql_where=sa.text("administering_la <> responsible_la"),
            sqlite_where=sa.text("administering_la <> responsible_la"),
        )

    op.drop_table("review")
    op.drop_table("ticks")
    op.drop_table("sequences")
    with op.batch_alter_table("plan", schema=None) as batch_op:
        batch_op.drop_index("ix_plan_officer")
        batch_op.drop_index(
            "ix_plan_administering_la",
            postgresql_where=sa.text("administering_la <> responsible_la"),
            sqlite_where=sa.text("administering_la <> responsible_la"),
        )

    op.drop_table("plan")
    with op.batch_alter_table("parked", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_parked_subject"))
        batch_op.drop_index(batch_op.f("ix_parked_state"))

    op.drop_table("parked")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_outbox_unpublished",
            postgresql_where=sa.text("published_at IS NULL"),
            sqlite_where=sa.text("published_at IS NULL"),
        )

    op.drop_table("outbox")
    op.drop_table("last_received")
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_inbox_received_at"))

    op.drop_table("inbox")
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_answered_at"))

    op.drop_table("idempotency")
    op.drop_table("council_policy")
