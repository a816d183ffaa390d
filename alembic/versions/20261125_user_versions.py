"""user versions"""

import sqlalchemy as sa
from alembic import op

revision = "8d41c07e6b25"
down_revision = "3b8e51c7a902"
branch_labels = None
depends_on = None


def upgrade() -> None:
    version = sa.Column("version", sa.Integer(), nullable=False, server_default="1")
    op.add_column("users", version)
    if op.get_context().dialect.name == "postgresql":
        create_trigger()


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION IF EXISTS count_version CASCADE")
    op.drop_column("users", "version")


def create_trigger() -> None:
    """Count the changes by processes of release 1.0, which don't know the column."""
    op.execute(
        "CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.version = OLD.version AND (NEW.name, NEW.email) <> (OLD.name, OLD.email) "
        "THEN NEW.version := OLD.version + 1; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER count_version BEFORE UPDATE ON users "
        "FOR EACH ROW EXECUTE FUNCTION count_version()"
    )
