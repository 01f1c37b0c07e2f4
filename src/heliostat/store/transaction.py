"""What a transaction can do: one repository per subject, all on one connection."""

from __future__ import annotations

from sqlalchemy import Connection

from .claims import Claims
from .client_tokens import ClientTokens
from .clusters import Clusters
from .credentials import Credentials
from .documents import Documents
from .events import Events
from .instances import Instances
from .jobs import Jobs
from .leases import Leases
from .ledger import Ledger
from .log_files import LogFiles
from .nonces import Nonces
from .operations import Operations
from .packages import Packages
from .principals import Principals
from .queues import Queues
from .secrets import Secrets
from .shared import Shared
from .workspaces import Workspaces


class Transaction:
    """Handed to a unit of work; only good until that returns.

    Repositories return domain records, which are immutable and shared: never change a mapping inside of one.
    """

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self.instances = Instances(connection, shared)
        self.clusters = Clusters(connection, shared, self.instances)
        self.jobs = Jobs(connection, shared)
        self.log_files = LogFiles(connection)
        self.packages = Packages(connection)
        self.secrets = Secrets(connection, shared)
        self.events = Events(connection)
        self.workspaces = Workspaces(connection)
        self.queues = Queues(connection)
        self.ledger = Ledger(connection)
        self.claims = Claims(connection, self.ledger)
        self.principals = Principals(connection)
        self.credentials = Credentials(connection, shared)
        self.nonces = Nonces(connection)
        self.client_tokens = ClientTokens(connection)
        self.leases = Leases(connection)
        self.operations = Operations(connection, shared)
        self.documents = Documents(connection, shared)
