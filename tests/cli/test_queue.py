"""``heliostat queue`` and ``heliostat usage`` against a server: what they send, print and end with."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from heliostat.cli.commands.queue import AmountText
from heliostat.cli.commands.usage import Moment
from heliostat.testing.harness import HarnessServer

from .conftest import Type


def test_a_queue_from_its_creation_to_its_end(type_: Type, server: HarnessServer) -> None:
    made = type_("queue", "create", "ml", "--max", "cpu=16,memory=64Gi,gpu=2", "--min", "cpu=4", "--no-backfill")
    assert made.code == 0, made.err
    assert made.out.splitlines()[1].split()[:9] == ["ml", "0", "of", "16", "0Gi", "of", "64Gi", "0", "of"]
    seen = json.loads(type_("queue", "get", "ml", "-o", "json").out)
    assert seen["maximum"] == {"cpu": "16", "memory": "64Gi", "gpu": 2}
    assert (seen["minimum"]["cpu"], seen["backfill"], seen["priority"]) == ("4", False, 0)
    edited = json.loads(
        type_("queue", "edit", "ml", "--max", "gpu=none", "--min", "none", "--priority", "5", "-o", "json").out
    )
    assert edited["maximum"] == {"cpu": "16", "memory": "64Gi", "gpu": None}
    assert (edited["minimum"]["cpu"], edited["backfill"], edited["priority"]) == (None, False, 5)
    assert "ml" in type_("queue", "list").out
    note = type_("queue", "edit", "root_queue", "--min", "cpu=1")
    assert (note.code, note.err.startswith("note: the minimum of root_queue")) == (0, True)
    gone = type_("queue", "delete", "ml")
    assert (gone.code, gone.out) == (0, "queue ml is deleted\n")


WRONG = [
    (("queue", "get", "nope"), 3, "heliostat queue list"),
    (("queue", "delete", "root_queue"), 4, "cannot be deleted"),
    (("queue", "create", "root_queue"), 4, "exists already"),
    (("queue", "create", "no good"), 2, "name:"),
    (("queue", "create", "q", "--max", "cpu=1", "--min", "cpu=2"), 2, "minimum.cpu:"),
    (("queue", "create", "q", "--max", "disk=1"), 2, "cpu, memory, gpu"),
    (("queue", "create", "q", "--max", "gpu=half"), 2, "gpu=half is not a whole number"),
    (("queue", "create", "q", "--max", "cpu=1,cpu=2"), 2, "cpu is there twice"),
    (("queue", "edit", "root_queue"), 2, "name what to change"),
    (("usage", "--since", "the other day"), 2, "is no time"),
    (("usage", "--since", "99999999999999d"), 2, "too long ago"),
    (("usage", "--by", "colour"), 2, "colour"),
    (("usage", "--cluster", "nope"), 3, "cluster"),
]


def test_what_is_wrong_is_told(type_: Type, server: HarnessServer) -> None:
    for words, code, told in WRONG:
        answer = type_(*words)
        assert (answer.code, answer.out) == (code, ""), words
        assert told in answer.err, words


def test_usage_of_nothing_is_told_on_stderr(type_: Type, server: HarnessServer) -> None:
    answer = type_("usage", "--queue", "nobody-has-used-it", "--since", "2h")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("nothing was used from ")
    assert json.loads(type_("usage", "--by", "hour", "--by", "queue", "-o", "json").out)["by"] == ["hour", "queue"]


def test_amounts_and_moments_are_read_as_people_write_them() -> None:
    assert AmountText().convert("cpu=500m, gpu=1", None, None) == {"cpu": "500m", "gpu": 1}
    assert AmountText().convert("none", None, None) == {"cpu": None, "memory": None, "gpu": None}
    assert Moment().convert("2026-01-31T08:00", None, None) == datetime(2026, 1, 31, 8, tzinfo=UTC)
    ago = datetime.now(UTC) - Moment().convert("2h", None, None)
    assert abs(ago.total_seconds() - 7200) < 60
