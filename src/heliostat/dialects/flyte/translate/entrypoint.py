"""The shell command that runs a task on the head of its cluster (Flyte contract, section 5.4).

Every run has a fresh folder: flytekit unpacks the task's code into the current one and ships that to all workers, so that two
runs in one folder would run each other's code. Files of secrets are beside it, not in it, so that they are not shipped.

Ray runs the command with ``sh``, and stops it with SIGTERM to the shell and to all below it. The shell waits in the
background, since a trap runs only then; its own variables have names that hide none of the task's.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from heliostat.domain.secrets import FILES

SECRETS_FOLDER = "FLYTE_SECRETS_DEFAULT_DIR"
"""Where flytekit looks for files of secrets."""
_WRITE = f"""
import json, os, sys
for path, value in json.loads(os.environ["{FILES}"]).items():
    path = os.path.join(sys.argv[1], path)
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline="") as file:
        file.write(value)
""".strip()


def entrypoint(
    argv: Sequence[str], run: str, *, working_dir: bool, secret_files: bool, secret_paths: Mapping[str, str]
) -> str:
    """One text for ``sh -c`` that ends with the exit status of ``argv``.

    ``run`` names the folder; ``working_dir``: the files of the folder that Ray begins in belong to the task;
    ``secret_paths``: variables that are to hold the paths of secrets' files.
    """
    lines = [
        "_heliostat_stop= _heliostat_child=",
        f'_heliostat_folder=$(mktemp -d "${{TMPDIR:-/tmp}}"/{shlex.quote(_plain(run))}.XXXXXX) || exit 1',
        """trap 'cd / && rm -rf "$_heliostat_folder" 2>/dev/null' EXIT""",
        """trap '_heliostat_stop=1; [ -z "$_heliostat_child" ] || kill -TERM "$_heliostat_child" 2>/dev/null' HUP INT TERM""",
        'mkdir "$_heliostat_folder/work" || exit 1',
    ]
    if working_dir:
        lines.append('cp -RP . "$_heliostat_folder/work" || exit 1')
    lines += [
        'cd "$_heliostat_folder/work" || exit 1',
        '[ -z "${VIRTUAL_ENV:-}" ] || { PATH="$VIRTUAL_ENV/bin:$PATH"; export PATH; }',
    ]
    if secret_files:
        lines += [
            f'{SECRETS_FOLDER}="$_heliostat_folder/secrets"; export {SECRETS_FOLDER}',
            f'python -I -c {shlex.quote(_WRITE)} "${SECRETS_FOLDER}" || exit 1',
            *(
                f'{name}="${SECRETS_FOLDER}"/{shlex.quote(path)}; export {name}'
                for name, path in sorted(secret_paths.items())
            ),
            f"unset {FILES}",
        ]
    lines += [
        '[ -z "$_heliostat_stop" ] || exit 143',
        f"{shlex.join(argv)} &",
        "_heliostat_child=$!",
        '[ -z "$_heliostat_stop" ] || kill -TERM "$_heliostat_child" 2>/dev/null',
        'wait "$_heliostat_child"',
        "_heliostat_status=$?",
        'while [ -n "$_heliostat_stop" ] && kill -0 "$_heliostat_child" 2>/dev/null; do',
        '  wait "$_heliostat_child"; _heliostat_status=$?',
        "done",
        'exit "$_heliostat_status"',
    ]
    return "\n".join(lines)


def _plain(run: str) -> str:
    """As a part of a file's name."""
    return "".join(character if character.isalnum() or character in "-_" else "-" for character in run)[:12] or "run"
