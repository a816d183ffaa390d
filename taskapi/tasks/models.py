import unicodedata
from datetime import datetime
from typing import Annotated, Any

import pydantic
from pydantic import MISSING, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema
from sqlalchemy import Enum, Index
from sqlmodel import Field, SQLModel

from taskapi.http.pagination import PageParams
from taskapi.models import (
    ID_COLUMN,
    AddressBool,
    CodePointString,
    Id,
    IdentifiedModel,
    NamedEnum,
    NonBlankStr,
    RequestModel,
    Text,
    UTCDatetime,
    VersionedModel,
)


class TaskStatus(NamedEnum):
    NEW = "новая"
    IN_PROGRESS = "в процессе"
    DONE = "завершена"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = [status.name.replace("_", " ").capitalize() for status in cls]
        return {
            **super().__get_pydantic_json_schema__(schema, handler),
            "x-enum-descriptions": names,
        }


Status = Annotated[TaskStatus, pydantic.Field(examples=[TaskStatus.NEW])]
Title = Annotated[
    NonBlankStr, StringConstraints(max_length=200), pydantic.Field(examples=["Купить хлеб"])
]
StoredTitle = Annotated[
    Text, StringConstraints(min_length=1, max_length=200), pydantic.Field(examples=["Купить хлеб"])
]
"""A title that was accepted once, by this release or an older one."""
Description = Annotated[
    Text, StringConstraints(max_length=10_000), pydantic.Field(examples=["Ржаной, два батона"])
]


class TaskBase(SQLModel):
    """The fields that the owner sets."""

    model_config = {"use_attribute_docstrings": True}

    title: Title
    """What is to be done."""
    description: Description
    """The details; may be empty."""
    status: Status
    """How far the work is."""


class TaskReplace(TaskBase, RequestModel):
    """All fields of a task that its owner can set."""


class TaskCreate(TaskBase, RequestModel):
    """A new task."""

    description: Description = ""
    """The details; may be empty."""
    status: Status = TaskStatus.NEW
    """How far the work is."""


class TaskPatch(RequestModel):
    """The fields to change; the others stay as they are."""

    title: Title | MISSING = MISSING
    """What is to be done."""
    description: Description | MISSING = MISSING
    """The details; may be empty."""
    status: Status | MISSING = MISSING
    """How far the work is."""


class TaskPublic(TaskBase, IdentifiedModel):
    title: StoredTitle
    """What is to be done."""
    user_id: Id
    """The owner."""
    created_at: UTCDatetime
    """When the task was created."""
    updated_at: UTCDatetime
    """When a field was last changed."""


class VersionedTask(TaskPublic, VersionedModel):
    pass


class Task(TaskBase, table=True):
    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "user_id", "id"),
        Index(None, "user_id", "status", "id"),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "user_id", "updated_at", "id"),
        Index(None, "user_id", "title_key", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(primary_key=True, sa_type=ID_COLUMN)
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
    created_at: datetime
    updated_at: datetime
    version: int
    title_key: str = Field(sa_type=CodePointString)
    """The title, case folded: lists are sorted by it."""
    search_text: str
    """The title and the description, case folded: searches look here."""


def fold(text: str) -> str:
    """Normalize and case fold by Unicode's rules, in Python, so that all databases agree.

    ё is folded to е, which Russian writes in its place and sorts it beside.
    """
    return unicodedata.normalize("NFC", text).casefold().replace("ё", "е")


class TaskOrder(NamedEnum):
    ID = "id"
    ID_DESC = "-id"
    CREATED_AT = "created_at"
    CREATED_AT_DESC = "-created_at"
    UPDATED_AT = "updated_at"
    UPDATED_AT_DESC = "-updated_at"
    TITLE = "title"
    TITLE_DESC = "-title"


class TaskListParams(PageParams):
    status: list[TaskStatus] = Field(
        default=[], max_length=len(TaskStatus), schema_extra={"examples": [[TaskStatus.NEW]]}
    )
    """Only tasks with one of these statuses; all tasks if omitted."""
    q: Annotated[Text, StringConstraints(max_length=200), pydantic.Field(examples=["хлеб"])] = ""
    """Only tasks with this text in the title or the description, in upper or lower case.
    ё is found as е."""
    sort: Annotated[TaskOrder, pydantic.Field(examples=[TaskOrder.UPDATED_AT_DESC])] = TaskOrder.ID
    """The field to sort by; `-` sorts in descending order. Titles are compared without regard to
    case and with ё as е, ties by id."""
    total: Annotated[AddressBool, pydantic.Field(examples=[True])] = False
    """Whether to count the tasks of all pages, in the `X-Total-Count` header."""
