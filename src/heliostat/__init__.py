"""Heliostat: a self-hosted control plane for Ray clusters and jobs, through the APIs people already use."""
