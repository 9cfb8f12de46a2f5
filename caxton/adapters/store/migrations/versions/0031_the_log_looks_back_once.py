# pyright: basic
"""PostgreSQL looks once a statement whether events follow the last one

Until now it looked at each row for the largest sequence of the customer. Where the table was small when a connection first did so, it
kept a plan that reads all of the customer's events, at each row: 70 requests a second in place of 700.

Revision: 0031, after 0030.
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

ONCE = (
    "DROP TRIGGER events_only_follow ON events",
    # Sequences of a log have no gaps, so the last event is the one whose next is missing: keys are looked up, and nothing is read.
    # Planned anew each time, for a plan that was made for an empty table reads a large one whole.
    """CREATE OR REPLACE FUNCTION caxton_events_follow() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS
    $$ DECLARE n record; follows boolean; BEGIN
    FOR n IN SELECT customer, min(sequence) AS first, max(sequence) AS last, count(*) AS count FROM new_events GROUP BY customer LOOP
        IF n.first = 1 THEN
            PERFORM 1 FROM events WHERE customer = n.customer AND sequence > n.last LIMIT 1;
            follows := NOT FOUND;
        ELSE
            PERFORM 1 FROM events WHERE customer = n.customer AND sequence = n.first - 1;
            follows := FOUND;
        END IF;
        PERFORM 1 FROM event_heads WHERE customer = n.customer AND sequence >= n.last;
        IF NOT follows OR NOT FOUND OR n.count <> n.last - n.first + 1 THEN
            RAISE EXCEPTION 'events are append-only: an event follows the last one, within the head';
        END IF;
    END LOOP;
    RETURN NULL;
    END $$""",
    """CREATE TRIGGER events_only_follow AFTER INSERT ON events REFERENCING NEW TABLE AS new_events
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_events_follow()""",
)

EACH_ROW = (
    "DROP TRIGGER events_only_follow ON events",
    """CREATE OR REPLACE FUNCTION caxton_events_follow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    IF NEW.sequence > coalesce((SELECT sequence FROM event_heads WHERE customer = NEW.customer), 0)
      OR NEW.sequence <> coalesce((SELECT max(sequence) FROM events WHERE customer = NEW.customer), 0) + 1 THEN
        RAISE EXCEPTION 'events are append-only: an event follows the last one, within the head';
    END IF;
    RETURN NEW;
    END $$""",
    """CREATE TRIGGER events_only_follow BEFORE INSERT ON events
    FOR EACH ROW EXECUTE FUNCTION caxton_events_follow()""",
)


def upgrade() -> None:
    run(ONCE)


def downgrade() -> None:
    run(EACH_ROW)


def run(statements: tuple[str, ...]) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for statement in statements:
            connection.exec_driver_sql(statement)
