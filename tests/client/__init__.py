"""The SDK: its parts by themselves, and the whole against a running server with the simulated engine."""
