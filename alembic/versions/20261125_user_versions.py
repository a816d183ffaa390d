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


def downgrade() -> None:
    op.drop_column("users", "version")
