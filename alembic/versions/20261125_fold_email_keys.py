"""fold email keys"""

import unicodedata

import sqlalchemy as sa
from alembic import context, op

from taskapi.settings import ConfigurationError

revision = "3b8e51c7a902"
down_revision = "f9fc616a0d47"
branch_labels = None
depends_on = None

USERS = sa.table("users", sa.column("id"), sa.column("email"), sa.column("email_key"))

BEYOND_ASCII = {
    "sqlite": "length(CAST(email_key AS BLOB)) <> length(email_key)",
    "postgresql": "octet_length(email_key) <> length(email_key)",
}
"""Conditions for the accounts whose key may change."""


def upgrade() -> None:
    """Make the keys of e-mails that differ only in case equal. ASCII keys stay as they are.

    If accounts would then have the same key, nothing is changed, and the error names them.
    """
    if op.get_context().dialect.name == "postgresql":
        create_trigger()
    if context.is_offline_mode():
        stop_if_keys_change()
        return
    connection = op.get_bind()
    collisions = []
    for user_id, email in accounts(connection):
        name, _, domain = email.rpartition("@")
        key = f"{fold(name)}@{domain}"
        same_key = sa.select(USERS.c.id).where(USERS.c.email_key == key, USERS.c.id != user_id)
        other_id = connection.scalar(same_key)
        if other_id is None:
            set_key(connection, user_id, key)
        else:
            collisions.append(f"{other_id} and {user_id}")
    if collisions:
        raise ConfigurationError(
            "accounts have e-mails that differ only in case: users "
            f"{', '.join(collisions)}. Delete one of each pair or change its e-mail; "
            "docs/operations.md says how"
        )


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION IF EXISTS fold_email_key CASCADE")
    if context.is_offline_mode():
        stop_if_keys_change()
        return
    connection = op.get_bind()
    for user_id, email in accounts(connection):
        set_key(connection, user_id, email.lower())


def condition() -> str:
    return BEYOND_ASCII[op.get_context().dialect.name]


def accounts(connection: sa.Connection) -> list[tuple[int, str]]:
    """The ids and e-mails of the accounts whose key may change, the oldest first."""
    query = sa.select(USERS.c.id, USERS.c.email).where(sa.text(condition())).order_by(USERS.c.id)
    return [(row.id, row.email) for row in connection.execute(query)]


def set_key(connection: sa.Connection, user_id: int, key: str) -> None:
    connection.execute(sa.update(USERS).where(USERS.c.id == user_id).values(email_key=key))


def stop_if_keys_change() -> None:
    """Make printed SQL fail if there is a key that only Python can compute: NULL is refused."""
    op.execute(
        "INSERT INTO alembic_version (version_num) SELECT NULL FROM users "  # noqa: S608 -- constant
        f"WHERE {condition()}"
    )


def fold(text: str) -> str:
    """The rule of `taskapi.security.emails`, as it was when this migration was written."""
    folded = map(fold_character, unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", "".join(folded))


def fold_character(character: str) -> str:
    folded = character.casefold()
    return folded if len(folded) == 1 else character.lower()


def create_trigger() -> None:
    """Fold the letters for which processes of release 1.0 write other keys."""
    op.execute(
        "CREATE FUNCTION fold_email_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "NEW.email_key := translate(NEW.email_key, 'ςſµϐϑϕϖϰϱϵ', 'σsμβθφπκρε'); RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER fold_email_key BEFORE INSERT OR UPDATE ON users "
        "FOR EACH ROW EXECUTE FUNCTION fold_email_key()"
    )
