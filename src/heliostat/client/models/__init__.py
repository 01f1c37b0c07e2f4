"""What the server tells, as frozen dataclasses.

Each is made by :func:`heliostat.client.decode.decode` from the JSON of the same field names. Unknown fields of newer
servers are passed over, and every document keeps its JSON in ``raw`` where it is worth printing as it came.
"""

from .clusters import (
    Activity,
    ClusterInfo,
    Demand,
    Endpoints,
    Event,
    Explanation,
    FieldChange,
    Finding,
    GroupCount,
    Instance,
    Node,
    Plan,
    Progress,
    Refusal,
    Step,
    Want,
)
from .directory import (
    GoogleKey,
    Key,
    Me,
    NetworkService,
    NewKey,
    Release,
    SecretInfo,
    ServerVersion,
    VertexSetup,
    Workspace,
)
from .jobs import (
    Attempt,
    JobCluster,
    JobInfo,
    JobLinks,
    JobProgress,
    JobSecret,
    LogFile,
    NameCount,
    Usage,
    WorkSummary,
)
from .queues import (
    Amount,
    Holder,
    Hours,
    Queue,
    UsageReport,
    UsageRow,
)

__all__ = [
    "Activity", "Amount", "Attempt", "ClusterInfo", "Demand", "Endpoints", "Event", "Explanation",
    "FieldChange", "Finding", "GoogleKey", "GroupCount", "Holder", "Hours", "Instance", "JobCluster", "JobInfo",
    "JobLinks", "JobProgress", "JobSecret", "Key", "LogFile", "Me", "NameCount", "NetworkService", "NewKey", "Node", "Plan",
    "Progress", "Queue", "Refusal", "Release", "SecretInfo", "ServerVersion", "Step", "Usage", "UsageReport",
    "UsageRow", "VertexSetup", "Want", "WorkSummary", "Workspace",
]  # fmt: skip
