"""Tests of the command line: what is typed, what is printed where, and the exit code."""
