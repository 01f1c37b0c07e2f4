"""What an operator can set about this dialect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EmrSettings:
    """Limits of the door. What clusters may be is in the installation's configuration."""

    reads_per_second: float | None = 50
    """GET requests per key, with bursts of one second's worth; None = no limit. (EMR contract, section 11, point 30)"""
    writes_per_second: float | None = 10
    """Likewise for POST and DELETE."""
    body_limit: int = 1 << 20
    """Bytes of a request body; more is 413. (EMR contract, section 10)"""
    bearer_without_tls: bool = False
    """Accept bearer tokens over plain http from other machines too. From this machine they always are; a proxy here
    that ends TLS counts as this machine."""
