"""A node runtime without Ray for fast tests: speaks the zygote's line protocol and writes status.json as a shim does.

Copied as ``bootstrap.py`` beside the real ``protocol.py``. What a node does is told by its variable ``FAKE``:

``""``      becomes registered, a head's dashboard ready; leaves a child in its session and a stray one outside
``die``     ends at once with a reason
``vanish``  ends before it has written a status
``hang``    never becomes registered
``slow``    takes a second to become registered
``busy``    becomes registered, and goes on running when it is drained
A path      ends at once with a reason if there is a file of that name

What the variable ``SAYS`` holds is part of the reason and of the log.

What a zygote is asked to report to the GCS is appended to a file ``mourned`` beside this one.

What it is asked to resize is appended to a file ``resized``; it fails with the text of a file ``no-resize``, if there is one.

A node that is drained ends in order, with Ray's word for that in its status; so it does by itself, as if its autoscaler had
drained it, on SIGUSR1. Every request to drain one is appended to a file ``drained`` beside this one.

A file ``no-zygote`` in the environment's folder makes zygotes fail to start.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from heliostat_node.protocol import DRAIN_FILE, NodeSpec, NodeStatus, replace_json, start_ticks


def spawn(environment: dict[str, str], own_session: bool) -> None:
    """A child that sleeps, as Ray's processes do most of the time."""
    if os.fork() == 0:
        if own_session:
            os.setsid()
        os.execve("/bin/sleep", ["sleep", "600"], environment)


def live(directory: Path) -> None:
    spec = NodeSpec.read(directory)
    mode = spec.environment.get("FAKE", "")
    if mode == "vanish":
        return
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # else the zygote's end would not be seen for as long as nodes live
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    pid = os.getpid()
    status = {"instance": spec.instance, "node": spec.node, "pid": pid, "start_ticks": start_ticks(pid) or 0}
    NodeStatus(**status).write(directory)
    said = f"It was told to die. {spec.environment.get('SAYS', '')}".rstrip()
    if mode == "die" or (mode.startswith("/") and Path(mode).exists()):
        NodeStatus(**status, phase="exited", exit_reason=said, exited_at=time.time()).write(directory)
        return
    log = os.open(directory / "shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.write(1, f"the fake shim lives {spec.environment.get('SAYS', '')}\n".encode())
    environment = {**spec.environment, "HELIOSTAT_NODE": spec.node}
    spawn({"RENAMED": "1"}, own_session=False)
    spawn(environment, own_session=True)
    if mode == "slow":
        time.sleep(1)
    if mode != "hang":
        listener = socket.create_server(("127.0.0.1", spec.gcs_port)) if spec.kind == "head" else None
        now = time.time()
        ready = now if spec.kind == "head" else 0.0
        NodeStatus(
            **status, phase="registered", ray_node_id="f" * 8, registered_at=now, dashboard_ready_at=ready
        ).write(directory)
        _ = listener
    numbers = {signal.SIGUSR1: "AUTOSCALER_DRAIN_IDLE", signal.SIGUSR2: "AUTOSCALER_DRAIN_PREEMPTED"}
    number = signal.sigwait(numbers)
    while number == signal.SIGUSR2 and mode == "busy":
        number = signal.sigwait(numbers)
    said = "Ray ended the node: Termination of node that's idle for 61.5 seconds."
    ended = NodeStatus.read(directory)
    assert ended is not None
    dataclasses.replace(ended, phase="exited", exit_reason=said, death=numbers[number], exited_at=time.time()).write(
        directory
    )


def drain(directory: Path) -> None:
    """As the zygote's child and Ray's GCS do it together."""
    status = NodeStatus.read(directory)
    assert status is not None
    replace_json(directory / DRAIN_FILE, {"accepted": True, "problem": ""})
    os.kill(status.pid, signal.SIGUSR2)


def run(directory: str) -> None:
    try:
        live(Path(directory))
    finally:
        os._exit(1)


def serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=0) as control, control.makefile("rw") as file:
        for line in file:
            request = json.loads(line)
            if request["op"] == "ping":
                answer = {"id": request["id"], "ray": "0", "python": "0"}
            elif request["op"] == "mourn":
                with Path(__file__).with_name("mourned").open("a") as mourned:
                    mourned.write(line)
                answer = {"id": request["id"], "pid": os.getpid()}
            elif request["op"] == "resize":
                with Path(__file__).with_name("resized").open("a") as resized:
                    resized.write(line)
                refusal = Path(__file__).with_name("no-resize")
                problem = refusal.read_text() if refusal.exists() else ""
                Path(request["result"]).write_text(json.dumps({"problem": problem}))
                answer = {"id": request["id"], "pid": 1 << 30}
            elif request["op"] == "drain":
                with Path(__file__).with_name("drained").open("a") as drained:
                    drained.write(line)
                drain(Path(request["directory"]))
                answer = {"id": request["id"], "pid": os.getpid()}
            elif Path(request["directory"]).is_dir():
                pid = os.fork()
                if pid == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    run(request["directory"])
                answer = {"id": request["id"], "pid": pid}
            else:
                answer = {"id": request["id"], "error": "There is no such directory."}
            file.write(json.dumps(answer) + "\n")
            file.flush()


if __name__ == "__main__":
    if sys.argv[1] == "node":
        run(sys.argv[2])
    if (Path(sys.executable).parents[1] / "no-zygote").exists():
        sys.exit("no zygote here")
    serve()
