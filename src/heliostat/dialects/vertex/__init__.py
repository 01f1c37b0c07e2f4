"""Vertex AI's persistent resources with Ray on them, API versions v1 and v1beta1, over REST and gRPC.

The vendor's SDK (``google-cloud-aiplatform[ray]``, with its ``vertex_ray``) works against it when it is pointed here. This
file imports nothing, so that :mod:`.models` can be used by clients without the server.
"""
