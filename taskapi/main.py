from taskapi.app import create_app
from taskapi.settings import Settings

app = create_app(Settings())
