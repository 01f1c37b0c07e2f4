"""Flyte's admin, as far as unmodified clients need it to register, fetch and upload (Flyte contract, section 6).

What runs is the matter of ``executions``; here is what is kept: tasks, workflows and launch plans, immutable by project, domain,
name and version; the uploads of code; and what clients ask for before they sign in. Nothing here is imported before
somebody speaks Flyte's protocol, since it takes flyteidl and gRPC.
"""
