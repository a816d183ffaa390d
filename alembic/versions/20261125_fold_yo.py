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


def upgrade() -> None:
    """Fold ё to е in one statement, which changes only the rows that have it."""
    op.execute(
        "UPDATE tasks SET title_key = replace(title_key, 'ё', 'е'), "
        "search_text = replace(search_text, 'ё', 'е') "
        "WHERE search_text LIKE '%ё%' OR title_key LIKE '%ё%'"
    )


def downgrade() -> None:
    """Fold the titles and descriptions that may have a ё again."""
    if context.is_offline_mode():
        raise ConfigurationError("this downgrade computes texts in Python and can't be printed")
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
