"""A small memory of what was used lately, safe to share between threads."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps at least the ``limit`` last used entries and at most twice as many.

    Two dictionaries: entries enter the young one; when it is full it becomes the old one, whose entries are forgotten
    unless they are used again. Every step is one dictionary operation, so it needs no lock; two threads that clash
    forget an entry too early at worst, and forgetting is harmless.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, {}
        self._young[key] = value
