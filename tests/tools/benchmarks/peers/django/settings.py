"""What both Django peers share."""

import os
from urllib.parse import parse_qs, urlsplit

_url = urlsplit(os.environ["DATABASE_URL"])
_sqlite = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": _url.path.removeprefix("/"),
    "OPTIONS": {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
    },
}
_postgresql = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": _url.path.removeprefix("/"),
    "USER": _url.username,
    "HOST": parse_qs(_url.query).get("host", [""])[0],
}
DATABASES = {
    "default": (_sqlite if _url.scheme == "sqlite" else _postgresql) | {"CONN_MAX_AGE": None}
}

SECRET_KEY = os.environ["SECRET"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["tasks.hashers.Cheap"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "tasks"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
