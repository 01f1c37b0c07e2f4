"""A list of clusters and nothing else, with the key that is named: ``alone.py PROJECT TRANSPORT KEY``."""

import json
import os
import sys
import threading

os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = sys.argv[3]

import google.auth
import vertex_ray
from common import PLACE, PROJECT
from google.cloud import aiplatform

aiplatform.init(project=PROJECT, location="us-central1", api_endpoint=PLACE, api_transport=sys.argv[2])
listed = [row.cluster_resource_name for row in vertex_ray.list_ray_clusters()]
for thread in threading.enumerate():
    if thread is not threading.main_thread() and not isinstance(thread, threading._DummyThread):
        thread.join(20)  # what it does in the background
print(json.dumps({"universe": google.auth.default()[0].universe_domain, "listed": listed}))
