"""fold yo"""

import unicodedata

import sqlalchemy as sa
from alembic import context, op

from taskapi.settings import ConfigurationError

revision = "c52f09a83d17"
down_revision = "8d41c07e6b25"
branch_labels = None
depends_on = None

BATCH_SIZE = 1000

UPDATE = (
    "UPDATE tasks SET title_key = replace(title_key, 'ё', 'е'), "
    "search_text = replace(search_text, 'ё', 'е') WHERE "
)
HAS_YO = "search_text LIKE '%ё%'"  # of which title_key is a part
IN_BATCH = (
    "id IN (SELECT id FROM tasks WHERE id > :start AND search_text LIKE '%ё%' "
    "ORDER BY id LIMIT :size FOR UPDATE)"
)


def upgrade() -> None:
    """Fold ё to е in the rows that have it.

    On PostgreSQL, each batch is a transaction, so that requests do not wait for the locks of all.
    """
    if op.get_context().dialect.name == "postgresql":
        create_trigger()
    if op.get_context().dialect.name == "sqlite" or context.is_offline_mode():
        op.execute(UPDATE + HAS_YO)
        return
    with op.get_context().autocommit_block():
        update = sa.text(f"{UPDATE}{IN_BATCH} RETURNING id")
        start = 0
        while ids := op.get_bind().scalars(update, {"start": start, "size": BATCH_SIZE}).all():
            start = max(ids)


def downgrade() -> None:
    """Fold the titles and descriptions that may have a ё again."""
    if context.is_offline_mode():
        raise ConfigurationError("this downgrade computes texts in Python and can't be printed")
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION IF EXISTS fold_yo CASCADE")
    connection = op.get_bind()
    select = sa.text(
        "SELECT id, title, description FROM tasks WHERE id > :start AND search_text LIKE '%е%' "
        "ORDER BY id LIMIT :size"
    )
    update = sa.text("UPDATE tasks SET title_key = :key, search_text = :text WHERE id = :id")
    start = 0
    while rows := connection.execute(select, {"start": start, "size": BATCH_SIZE}).all():
        for row in rows:
            key, text = fold(row.title), fold(f"{row.title}\n{row.description}")
            connection.execute(update, {"id": row.id, "key": key, "text": text})
        start = rows[-1].id


def fold(text: str) -> str:
    """The rule of `taskapi.tasks.models`, as it was before this migration."""
    return unicodedata.normalize("NFC", text).casefold()


def create_trigger() -> None:
    """Fold what processes of release 1.0 write, which keep ё."""
    op.execute(
        "CREATE FUNCTION fold_yo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF strpos(NEW.search_text, 'ё') > 0 THEN "
        "NEW.title_key := replace(NEW.title_key, 'ё', 'е'); "
        "NEW.search_text := replace(NEW.search_text, 'ё', 'е'); END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER fold_yo BEFORE INSERT OR UPDATE ON tasks "
        "FOR EACH ROW EXECUTE FUNCTION fold_yo()"
    )
