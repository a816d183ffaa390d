# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "argon2-cffi==25.1.0",
#     "flask==3.1.3",
#     "flask-jwt-extended==4.7.4",
#     "flask-sqlalchemy==3.1.1",
#     "gunicorn==27.0.1",
#     "psycopg[binary]==3.3.9",
# ]
# ///
"""Flask with Flask-SQLAlchemy and Flask-JWT-Extended, as their quick starts have it."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, current_user, jwt_required
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, ForeignKey, String, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.exceptions import BadRequest

URL = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
IS_SQLITE = URL.startswith("sqlite")
STATUSES = {"новая", "в процессе", "завершена"}


class Base(DeclarativeBase):
    pass


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = URL
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"timeout": 30} if IS_SQLITE else {}}
app.config["JWT_SECRET_KEY"] = os.environ["SECRET"]
app.config["JWT_ACCESS_TOKEN_EXPIRES"] = timedelta(hours=1)
db = SQLAlchemy(app, model_class=Base)
jwt = JWTManager(app)


def utc_now() -> datetime:
    return datetime.now(UTC)


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]


class Task(db.Model):
    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=utc_now, onupdate=utc_now
    )

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "status": self.status,
            "user_id": self.user_id,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
        }


with app.app_context():
    if IS_SQLITE:

        @event.listens_for(db.engine, "connect")
        def configure(connection: Any, _: object) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

    db.create_all()
    db.engine.dispose()


@jwt.user_lookup_loader
def look_user_up(_: object, claims: dict[str, Any]) -> User | None:
    return db.session.get(User, int(claims["sub"]))


@app.post("/login")
def log_in() -> ResponseReturnValue:
    query = db.select(User).filter_by(email=request.json["username"])
    user = db.session.execute(query).scalar_one_or_none()
    try:
        if user:
            PasswordHasher().verify(user.password_hash, request.json["password"])
            return jsonify(access_token=create_access_token(identity=str(user.id)))
    except VerifyMismatchError:
        pass
    return jsonify(msg="Bad username or password"), 401


def fields() -> dict[str, str]:
    body = request.json
    try:
        new = {name: body[name] for name in ("title", "description", "status")}
    except KeyError as error:
        raise BadRequest from error
    if not 0 < len(new["title"]) <= 200 or new["status"] not in STATUSES:
        raise BadRequest
    return new


def own_task(task_id: int) -> Task:
    query = db.select(Task).filter_by(id=task_id, user_id=current_user.id)
    return db.one_or_404(query)


@app.get("/tasks")
@jwt_required()
def list_tasks() -> ResponseReturnValue:
    query = db.select(Task).filter_by(user_id=current_user.id).order_by(Task.id)
    return jsonify([task.to_dict() for task in db.paginate(query)])


@app.get("/tasks/<int:task_id>")
@jwt_required()
def read_task(task_id: int) -> ResponseReturnValue:
    return jsonify(own_task(task_id).to_dict())


@app.post("/tasks")
@jwt_required()
def create_task() -> ResponseReturnValue:
    task = Task(**fields(), user_id=current_user.id)
    db.session.add(task)
    db.session.commit()
    return jsonify(task.to_dict()), 201


@app.put("/tasks/<int:task_id>")
@jwt_required()
def update_task(task_id: int) -> ResponseReturnValue:
    task = own_task(task_id)
    for name, value in fields().items():
        setattr(task, name, value)
    db.session.commit()
    return jsonify(task.to_dict())
