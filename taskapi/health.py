from typing import Literal

from fastapi import APIRouter
from sqlmodel import Field, SQLModel

from taskapi.database import migrations
from taskapi.deps import DatabaseDep
from taskapi.http.routes import StrictQueryRoute

router = APIRouter(tags=["health"], route_class=StrictQueryRoute)


class Health(SQLModel):
    model_config = {"use_attribute_docstrings": True}

    status: Literal["ok"] = Field(default="ok", schema_extra={"examples": ["ok"]})
    """Always `ok`; other answers are errors."""


class Readiness(Health):
    database_schema: Literal["current", "ahead"] = Field(
        default="current", schema_extra={"examples": ["current"]}
    )
    """`ahead` while a newer version of the service is being put in place."""


@router.get(
    "/livez",
    summary="Check that the process runs",
    description=(
        "The database is not checked, because a restart of the process would not repair it."
    ),
)
async def check_liveness() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Check that requests can be served",
    description="They can if the database answers and its schema is not behind.",
)
async def check_readiness(database: DatabaseDep) -> Readiness:
    return Readiness(database_schema=await database.check(migrations.compare))
