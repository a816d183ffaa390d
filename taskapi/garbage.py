import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 5_000
"""Objects after which the collector looks for cycles among them. With Python's own 700, those of
the requests in flight soon pass for old ones, which takes going through all there are."""


@contextmanager
def left_alone() -> Iterator[None]:
    """Keep the collector from going through what the service is made of, which takes it 100 ms in
    which nobody is answered. It is the whole process's.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
