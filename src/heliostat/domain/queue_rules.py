"""Whether a queue may be as somebody wants it, and what its figures mean. No I/O.

Paths of errors are native: ``minimum.cpu``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

from .errors import InvalidRequest
from .quantities import MAX_CORES, MAX_MEMORY, format_cores, format_memory
from .quota import ROOT
from .records import Amount, Queue
from .validation import MAX_DESCRIPTION

MAX_PRIORITY = 1000
MAX_GPUS = 100_000
NOTHING = Amount(Decimal(0), 0, 0)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_RESOURCES = {"cpu": "CPU", "memory": "memory", "gpu": "GPU"}
_MOST: dict[str, Decimal | int] = {"cpu": MAX_CORES, "memory": MAX_MEMORY, "gpu": MAX_GPUS}
Number = Decimal | int


def check(queue: Queue, others: Iterable[Queue]) -> None:
    """Raise the first :class:`InvalidRequest` found; ``others`` are the other queues of the workspace."""
    for error in _errors(queue, list(others)):
        raise error


def used(queue: Queue, all_queues: Iterable[Queue]) -> Amount:
    """What counts against its maximum: what is held of it, and for the root what is held of all queues."""
    return total(row.held for row in all_queues) if queue.name == ROOT else queue.held


def notes(queue: Queue, all_queues: Iterable[Queue]) -> Iterator[str]:
    """What is allowed and may surprise, in sentences."""
    queues = list(all_queues)
    taken = used(queue, queues)
    root = next((row for row in queues if row.name == ROOT), None)
    for resource, word in _RESOURCES.items():
        most, now = _value(queue.maximum, resource), _value(taken, resource)
        if most is not None and now is not None and now > most:
            yield (
                f"{_text(resource, now)} {word} is held, more than the maximum of {_text(resource, most)}: nothing is "
                "ended for it, and nothing more is let in before enough was given back"
            )
        whole = None if root is None or queue.name == ROOT else _value(root.maximum, resource)
        if most is not None and whole is not None and most > whole:
            yield (
                f"its maximum of {_text(resource, most)} {word} can never be reached: all queues together may hold "
                f"{_text(resource, whole)}, the maximum of {ROOT}"
            )
    if queue.name == ROOT and queue.minimum != Amount():
        yield f"the minimum of {ROOT} guarantees nothing: it stands for the whole workspace"


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum, in which nothing counts for what is not set."""
    cpu, memory, gpu = Decimal(0), 0, 0
    for row in amounts:
        cpu, memory, gpu = cpu + (row.cpu or 0), memory + (row.memory or 0), gpu + (row.gpu or 0)
    return Amount(cpu, memory, gpu)


def _errors(queue: Queue, others: list[Queue]) -> Iterator[InvalidRequest]:
    if not _NAME.fullmatch(queue.name):
        yield InvalidRequest("must have 1 to 63 characters: letters, digits, '-' and '_'", path="name")
    if len(queue.description) > MAX_DESCRIPTION:
        yield InvalidRequest(f"must have at most {MAX_DESCRIPTION} characters", path="description")
    if not -MAX_PRIORITY <= queue.priority <= MAX_PRIORITY:
        yield InvalidRequest(f"must be from -{MAX_PRIORITY} to {MAX_PRIORITY}, given {queue.priority}", path="priority")
    for kind, amount in (("minimum", queue.minimum), ("maximum", queue.maximum)):
        for resource, most in _MOST.items():
            value = _value(amount, resource)
            if value is not None and not 0 <= value <= most:
                yield InvalidRequest(f"must be from 0 to {_text(resource, most)}", path=f"{kind}.{resource}")
    if queue.name != ROOT:
        for resource in _RESOURCES:
            least, most_ = _value(queue.minimum, resource), _value(queue.maximum, resource)
            if least is not None and most_ is not None and least > most_:
                given, limit = _text(resource, least), _text(resource, most_)
                yield InvalidRequest(
                    f"must not exceed the maximum: given {given}, the maximum is {limit}", path=f"minimum.{resource}"
                )
    yield from _guarantees(queue, others)


def _guarantees(queue: Queue, others: list[Queue]) -> Iterator[InvalidRequest]:
    """What is guaranteed to the queues of a workspace must fit into what it has."""
    queues = [queue, *others]
    root = next((row for row in queues if row.name == ROOT), None)
    if root is None:
        return
    promised = total(row.minimum for row in queues if row.name != ROOT)
    for resource, word in _RESOURCES.items():
        most, sum_ = _value(root.maximum, resource), _value(promised, resource)
        if most is None or sum_ is None or sum_ <= most:
            continue
        if queue.name == ROOT:
            yield InvalidRequest(
                f"must be at least {_text(resource, sum_)}, which is guaranteed to the other queues; lower their minimum first",
                path=f"maximum.{resource}",
            )
        elif _value(queue.minimum, resource):
            yield InvalidRequest(
                f"{_text(resource, sum_)} {word} would be guaranteed to the queues of the workspace, and all of them "
                f"together may hold {_text(resource, most)}, the maximum of {ROOT}; guarantee less, or raise that first",
                path=f"minimum.{resource}",
            )


def _value(amount: Amount, resource: str) -> Number | None:
    found: Number | None = getattr(amount, resource)
    return found


def _text(resource: str, value: Number) -> str:
    if resource == "cpu":
        return format_cores(Decimal(value))
    return format_memory(int(value)) if resource == "memory" else str(value)
