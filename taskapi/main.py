"""The application that servers import: `taskapi.main:app`."""

from taskapi.app import create_app
from taskapi.startup import exit_on_error, load_settings

settings = load_settings()
with exit_on_error("start"):
    app = create_app(settings)
