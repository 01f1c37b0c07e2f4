"""The part of the code that only Ray's workers run."""

import ray


@ray.remote
def doubled(number: int) -> int:
    return 2 * number
