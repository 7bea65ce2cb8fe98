"""What holds for every test."""

from hypothesis import HealthCheck, settings

# Nothing is timed: on a busy machine any example may take long, and that says nothing about it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
