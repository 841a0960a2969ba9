"""No example of a property has a deadline: a machine that does something else beside must fail no test."""

from hypothesis import settings

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
