"""What the connector calls itself, and what it takes."""

from __future__ import annotations

NAME = "heliostat-ray"
TASK_TYPE = "ray"
