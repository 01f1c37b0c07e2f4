"""The routes, one module per subject. Each function reads the request, calls one service and writes the answer."""
