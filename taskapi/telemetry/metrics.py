"""The metrics that the service adds to FastAPI's. docs/monitoring.md describes them."""

from collections.abc import Callable, Mapping

from opentelemetry.metrics import MeterProvider, NoOpMeterProvider, Observation

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Boundaries of the buckets of waits, which end with `QUEUE_TIMEOUT`."""

JOBS = (1, 2, 4, 8, 16, 32, 64)
"""Boundaries of the buckets of batches, which end with `MAX_BATCH_SIZE`."""


class Metrics:
    """Instruments, which do nothing until a provider is used."""

    def __init__(self) -> None:
        self.use(NoOpMeterProvider())

    def use(self, provider: MeterProvider) -> None:
        self._meter = provider.get_meter("taskapi")
        self.job_wait = self._meter.create_histogram(
            "taskapi.database.job.wait",
            unit="s",
            description="How long a job waited for a thread of the database.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.batch_size = self._meter.create_histogram(
            "taskapi.database.commit.jobs",
            unit="{job}",
            description="Number of jobs that were committed together.",
            explicit_bucket_boundaries_advisory=JOBS,
        )
        self.database_errors = self._meter.create_counter(
            "taskapi.database.errors",
            unit="{error}",
            description="Number of jobs that failed with an error of the database.",
        )
        self.refusals = self._meter.create_counter(
            "taskapi.refusals",
            unit="{response}",
            description="Number of answers 429 and 503.",
        )

    def observe_queues(
        self, jobs: Callable[[], Mapping[str, int]], passwords: Callable[[], int]
    ) -> None:
        """`jobs` returns the number of waiting jobs of each pool, `passwords` that of passwords."""
        self._meter.create_observable_gauge(
            "taskapi.database.jobs.waiting",
            [lambda _: [Observation(count, {"pool": pool}) for pool, count in jobs().items()]],
            unit="{job}",
            description="Number of jobs that wait for a thread of the database.",
        )
        self._meter.create_observable_gauge(
            "taskapi.passwords.waiting",
            [lambda _: [Observation(passwords())]],
            unit="{password}",
            description="Number of passwords that wait to be hashed.",
        )


metrics = Metrics()
"""The instruments of this process."""
