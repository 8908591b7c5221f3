"""The fixtures of tests/e2e."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))
from tests.e2e.conftest import *  # noqa: E402,F401,F403
from tests.e2e.conftest import pytest_configure  # noqa: E402,F401
