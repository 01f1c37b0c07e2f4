"""The use cases: the one door through which every dialect, the API, the gateway and the console reach the store.

Each use case authorises its caller, validates, records the wish and its event in one transaction, wakes the control loop
and returns. None waits for Ray. No dialect's word is known here.
"""

from heliostat.store import JobFilter

from .access import Access, AccessService, Links, Route
from .bundle import JobTools, Services
from .caller import Caller
from .cluster_changes import Preview, Refusal
from .cluster_views import ClusterView
from .clusters import ClusterService
from .data import DataService
from .directory import DirectoryService, ProjectRefused, ReleaseView
from .documents import DocumentService
from .google_identity import GoogleIdentity, NewServiceAccountKey, Setup
from .identity import IdentityService, KeyWish, NewAccessKey, NewToken
from .jobs import JobService, JobView, JobWish, masked_job
from .logs import LogPiece, LogService
from .monitoring import MetricsTarget, MonitoringService
from .news import News
from .operations import OperationService, OperationView, Track
from .packages import PackageService
from .queues import Holder, QueueService, QueueView
from .secrets import SecretService
from .usage import Hours, UsageLine, UsageReport, UsageService
from .why import Explanation

__all__ = [
    "Access",
    "AccessService",
    "Caller",
    "ClusterService",
    "ClusterView",
    "DataService",
    "DirectoryService",
    "DocumentService",
    "Explanation",
    "GoogleIdentity",
    "Holder",
    "Hours",
    "IdentityService",
    "JobFilter",
    "JobService",
    "JobTools",
    "JobView",
    "JobWish",
    "KeyWish",
    "Links",
    "LogPiece",
    "LogService",
    "MetricsTarget",
    "MonitoringService",
    "NewAccessKey",
    "NewServiceAccountKey",
    "NewToken",
    "News",
    "OperationService",
    "OperationView",
    "PackageService",
    "Preview",
    "ProjectRefused",
    "QueueService",
    "QueueView",
    "Refusal",
    "ReleaseView",
    "Route",
    "SecretService",
    "Services",
    "Setup",
    "Track",
    "UsageLine",
    "UsageReport",
    "UsageService",
    "masked_job",
]
