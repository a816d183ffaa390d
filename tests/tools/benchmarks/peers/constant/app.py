# /// script
# requires-python = ">=3.11"
# dependencies = ["fastapi==0.165.0", "uvicorn[standard]==0.54.0"]
# ///
"""What FastAPI itself costs: one task and one page, which are always the same."""

from datetime import UTC, datetime

from fastapi import FastAPI
from pydantic import BaseModel


class Task(BaseModel):
    id: int
    title: str
    description: str
    status: str
    user_id: int
    created_at: datetime
    updated_at: datetime


NOW = datetime(2026, 11, 24, 11, 20, 32, 17634, tzinfo=UTC)
PAGE = [
    Task(
        id=number,
        title=f"Купить хлеб {number}",
        description="Ржаной, два батона",
        status="новая",
        user_id=1,
        created_at=NOW,
        updated_at=NOW,
    )
    for number in range(1, 21)
]

app = FastAPI()


@app.get("/tasks/{task_id}")
async def read_task(task_id: int) -> Task:
    return PAGE[task_id - 1]


@app.get("/tasks")
async def list_tasks(limit: int) -> list[Task]:
    return PAGE[:limit]
