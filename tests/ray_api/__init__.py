import pytest

pytest.register_assert_rewrite("tests.ray_api.conformance")
