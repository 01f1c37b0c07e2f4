"""Labels (Vertex contract, section 9.3), and the one by which a request names its queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from heliostat.domain.quota import ROOT
from heliostat.domain.spec import ClusterSpec, NodeShape

from .fields import Fields

QUEUE_LABEL = "heliostat-queue"
"""The queue that pays for the nodes; without it the root queue does."""
MAX_LABELS = 64
LONGEST = 63


def read_labels(fields: Fields, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """``labels``. Raises InvalidRequest, but not for ``known`` ones: others may have set what could not be set here."""
    labels = fields.text_map("labels")
    if len(labels) > max(MAX_LABELS, len(known)):
        raise fields.error("labels", f"must have at most {MAX_LABELS} entries, has {len(labels)}")
    for key, value in labels.items():
        if known.get(key) == value:
            continue
        path = f"labels.{key[:LONGEST]}"
        if not 0 < len(key) <= LONGEST or not key[0].isalnum() or not all(map(_allowed, key)):
            raise fields.error(
                path,
                f"keys have 1 to {LONGEST} lower-case letters, digits, '_' and '-', and begin with a letter or digit",
            )
        if len(value) > LONGEST or not all(map(_allowed, value)):
            raise fields.error(path, f"values have at most {LONGEST} lower-case letters, digits, '_' and '-'")
    if labels.get(QUEUE_LABEL) == "":
        raise fields.error(f"labels.{QUEUE_LABEL}", "must be the name of a queue")
    return labels


def write_labels(spec: ClusterSpec) -> dict[str, str]:
    """The labels of a cluster. The queue is the one that its head is in, whoever moved it there."""
    labels = dict(spec.labels)
    if QUEUE_LABEL in labels:
        labels[QUEUE_LABEL] = spec.head.queue
    return labels


def with_labels(spec: ClusterSpec, labels: dict[str, str]) -> ClusterSpec:
    """``spec`` with these labels instead. Another queue is that of all nodes that were in the head's."""
    before, after = write_labels(spec).get(QUEUE_LABEL), labels.get(QUEUE_LABEL)
    changed = replace(spec, labels=labels)
    if before == after:
        return changed
    old, new = spec.head.queue, after or ROOT

    def moved(shape: NodeShape) -> NodeShape:
        return replace(shape, queue=new) if shape.queue == old else shape

    groups = tuple(replace(group, shape=moved(group.shape)) for group in spec.workers)
    return replace(changed, head=moved(spec.head), workers=groups)


def _allowed(character: str) -> bool:
    """Lower-case letters and digits of all scripts, ``_`` and ``-``."""
    return character in "_-" or (character.isalnum() and not character.isupper() and not character.istitle())
