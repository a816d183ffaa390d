import unicodedata
from enum import StrEnum
from typing import Annotated, Any

import pydantic
from pydantic import GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema
from sqlalchemy import Enum, Index
from sqlmodel import Field

from taskapi.http.pagination import PageParams
from taskapi.models import (
    ID_COLUMN,
    CodePointString,
    Id,
    NonBlankStr,
    RequestModel,
    ResponseModel,
    Text,
    UTCDatetime,
    table,
)


class TaskStatus(StrEnum):
    NEW = "новая"
    IN_PROGRESS = "в процессе"
    DONE = "завершена"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Names for generated clients, whose languages have none for Cyrillic values."""
        return {
            **handler(schema),
            "x-enum-varnames": [status.name for status in cls],
            "x-enum-descriptions": [status.name.replace("_", " ").capitalize() for status in cls],
        }


Title = Annotated[
    NonBlankStr, StringConstraints(max_length=200), pydantic.Field(examples=["Купить хлеб"])
]
Description = Annotated[
    Text, StringConstraints(max_length=10_000), pydantic.Field(examples=["Ржаной, два батона"])
]


class TaskReplace(RequestModel):
    """All of a task that its owner can set."""

    title: Title
    """What is to be done."""
    description: Description
    """The details; may be empty."""
    status: TaskStatus


class TaskCreate(TaskReplace):
    """A new task."""

    description: Description = ""
    """The details; may be empty."""
    status: TaskStatus = TaskStatus.NEW


class TaskPatch(TaskReplace):
    """The fields to change; the others stay as they are."""

    title: Title = Field(default=None)
    """What is to be done."""
    description: Description = Field(default=None)
    """The details; may be empty."""
    status: TaskStatus = Field(default=None)


class TaskPublic(ResponseModel):
    id: Id
    """Given once, and never again to another task."""
    title: Title
    description: Description
    status: TaskStatus
    user_id: Id
    """The owner."""
    created_at: UTCDatetime
    updated_at: UTCDatetime
    """When a field changed last."""


class StoredTask(TaskPublic):
    """A task as its owner gets it, and what its ETag says."""

    version: int = 1
    """How many times it was written."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


class Task(StoredTask, table=True):
    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "user_id", "id"),
        Index(None, "user_id", "status", "id"),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "user_id", "updated_at", "id"),
        Index(None, "user_id", "title_key", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True, sa_type=ID_COLUMN)
    status: TaskStatus = Field(
        sa_type=Enum(
            TaskStatus,
            name="status",
            native_enum=False,
            create_constraint=True,
            validate_strings=True,
            length=16,
            values_callable=lambda statuses: [status.value for status in statuses],
        )
    )
    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE", sa_type=ID_COLUMN)
    title_key: str = Field(sa_type=CodePointString)
    """The title, folded: what the list is sorted by."""
    search_text: str
    """The title and the description, folded: what is searched."""


tasks = table(Task)


def fold(text: str) -> str:
    """Case folded by Unicode's rules, in Python, so that every database does it the same."""
    return unicodedata.normalize("NFC", text).casefold()


class TaskOrder(StrEnum):
    ID = "id"
    ID_DESCENDING = "-id"
    CREATED_AT = "created_at"
    CREATED_AT_DESCENDING = "-created_at"
    UPDATED_AT = "updated_at"
    UPDATED_AT_DESCENDING = "-updated_at"
    TITLE = "title"
    TITLE_DESCENDING = "-title"


class TaskListParams(PageParams):
    status: list[TaskStatus] = Field(default=[], max_length=len(TaskStatus))
    """Only tasks with one of these statuses; all when there is none."""
    q: Annotated[Text, StringConstraints(max_length=200)] = ""
    """Only tasks with this text in the title or the description, in upper or lower case."""
    sort: TaskOrder = TaskOrder.ID
    """What the list is ordered by, descending after `-`; titles whatever their case. Tasks of which
    it is the same are ordered by id."""
    total: bool = False
    """Whether to count all tasks that the pages have together, in the `X-Total-Count` header."""
