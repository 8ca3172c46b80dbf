"""Properties are searched without a deadline: how long one example takes is the machine's affair."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
