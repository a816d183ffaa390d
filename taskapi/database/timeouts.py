"""How long a request waits for the database, at most."""

QUEUE_TIMEOUT = 10.0
"""Seconds for which a job waits for a worker thread."""

RETRY_SECONDS = 1
"""What Retry-After says when a request has waited too long."""

TIMEOUT_MARGIN = 5
"""Grace period in seconds on top of statement_timeout."""


def max_repeat_delay(statement_timeout: int) -> float:
    """Return the longest time in seconds between a write and its repeat by the same client.

    The commit of the first takes until it is answered with 503, as without a synchronous standby.
    The repeat, which is sent at once, waits in the queue, and then for a lock that the first holds.
    """
    return QUEUE_TIMEOUT + 2 * (statement_timeout + TIMEOUT_MARGIN)
