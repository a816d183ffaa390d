from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from taskapi.database import migrations
from taskapi.deps import DatabaseDep
from taskapi.exceptions import Unavailable
from taskapi.http.openapi import responses

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(Health):
    database_schema: Literal["current", "ahead"] = "current"
    """`ahead` while a newer version of the service is being put in place."""


@router.get("/livez")
async def check_liveness() -> Health:
    """Tell that the process answers. It says nothing of the database: a restart mends none."""
    return Health()


@router.get("/readyz", responses=responses(Unavailable))
async def check_readiness(database: DatabaseDep) -> Readiness:
    """Tell whether requests can be served: the database answers, and its schema is not behind."""
    return Readiness(database_schema=await database.read(migrations.compare))
