"""Settings of hypothesis: no deadline, since machines are busy, and nothing kept on disk."""

from hypothesis import settings

settings.register_profile("plain", deadline=None, database=None)
settings.load_profile("plain")
