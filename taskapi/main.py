"""The application that servers import: `taskapi.main:app`.

Until it is made, the garbage collector of the process is off. Importing leaves no garbage, and
looking for it would take a twelfth of the time.
"""

import gc

gc.disable()

from taskapi.app import create_app  # noqa: E402 -- after disable()
from taskapi.startup import exit_on_error, load_settings  # noqa: E402 -- likewise

settings = load_settings()
with exit_on_error("start"):
    app = create_app(settings)

gc.freeze()  # else the first collection would look through all that was imported
gc.enable()
