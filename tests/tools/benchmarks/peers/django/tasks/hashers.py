from django.contrib.auth.hashers import Argon2PasswordHasher


class Cheap(Argon2PasswordHasher):
    """So that the logins before the measurements are short."""

    memory_cost = 32
    time_cost = 1
    parallelism = 1
