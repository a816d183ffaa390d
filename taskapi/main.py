"""The application that servers import: `taskapi.main:app`."""

from taskapi.app import create_app
from taskapi.startup import load_settings

app = create_app(load_settings())
