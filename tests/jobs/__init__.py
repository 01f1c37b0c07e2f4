"""Jobs on real Ray, with real server processes: what the documentation of jobs promises, under the worst that happens."""

import pytest

pytest.register_assert_rewrite("tests.jobs.support")
