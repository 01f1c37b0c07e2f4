"""The protocol of the Vertex API: what its messages are, on gRPC and in JSON (Vertex contract, section 4).

:mod:`.schema` is the messages as data, :mod:`.canonical` reads and writes JSON, :mod:`.messages` reads and writes bytes.
The rest of the dialect knows canonical JSON only, so both transports and both API versions meet in it.
"""

from .canonical import WireError, from_json, mask_paths, pack, present
from .messages import Messages, to_canonical, to_message
from .schema import VERSIONS, Version

__all__ = [
    "VERSIONS",
    "Messages",
    "Version",
    "WireError",
    "from_json",
    "mask_paths",
    "pack",
    "present",
    "to_canonical",
    "to_message",
]
