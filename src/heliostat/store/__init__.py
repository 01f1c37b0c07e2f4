"""The store: what Heliostat remembers, in SQLite or PostgreSQL.

Services and the control loop are the only callers. They hand over a *transaction*: a plain function over repositories,

    cluster = await store.read(lambda tx: tx.clusters.get(workspace, cluster_id))
    await store.write(lambda tx: tx.clusters.save(changed))

which runs in a worker thread, on a consistent snapshot, and is committed as a whole or not at all. A write is
serializable on both databases: it behaves as if it had the database for itself. On PostgreSQL that is bought with
retries, so the function may run several times and must have no effect but through ``tx`` (no I/O, no messages to
others, no appending to lists outside).

What is in here: ``schema`` (tables), ``migrations`` (how they came to be), ``database`` (what is peculiar to each
database), ``workers`` (threads and retries), one module per repository, ``codec`` and ``run_codec`` (documents),
``sealing`` (secrets at rest). What is not: rules about what may happen to a cluster; those are pure functions of the
domain, decided before and written here.
"""

from .credentials import ServiceAccountKey
from .jobs import JobFilter
from .settings import StoreSettings
from .store import Store
from .transaction import Transaction

__all__ = ["JobFilter", "ServiceAccountKey", "Store", "StoreSettings", "Transaction"]
