from datetime import UTC, datetime, timedelta


class Clock:
    """Stands in for `datetime` in `taskapi.models`, whose `utc_now` is the service's only clock."""

    def __init__(self) -> None:
        self.moment = datetime(2027, 6, 1, 12, tzinfo=UTC)

    def now(self, zone: object) -> datetime:
        assert zone is UTC
        self.moment += timedelta(microseconds=1)
        return self.moment

    def advance(self, **duration: float) -> None:
        self.moment += timedelta(**duration)
