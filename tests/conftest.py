"""For every test: generated examples are the same in each run and on each machine, and no clock judges them."""

from hypothesis import HealthCheck, settings

IGNORED = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
"""The first measures the machine; of the second, tests that use it make a file anew for each example."""

settings.register_profile("fixed", deadline=None, derandomize=True, suppress_health_check=IGNORED)
settings.register_profile("search", deadline=None, suppress_health_check=IGNORED, print_blob=True)
settings.load_profile("fixed")  # ``make test-full`` says --hypothesis-profile=search: other examples each time
