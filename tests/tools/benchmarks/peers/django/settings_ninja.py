from datetime import timedelta

from settings import *  # noqa: F403 -- as Django's settings are usually varied

INSTALLED_APPS = [*INSTALLED_APPS, "ninja_jwt", "ninja_extra"]  # noqa: F405
ROOT_URLCONF = "ninja_api"
NINJA_JWT = {"ACCESS_TOKEN_LIFETIME": timedelta(hours=1)}
