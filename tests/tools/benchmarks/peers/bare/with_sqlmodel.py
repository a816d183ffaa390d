import sqlmodel  # noqa: F401 -- for what the import costs
from fastapi import FastAPI

app = FastAPI()
