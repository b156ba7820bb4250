"""The tools of the task, on the folder that the program runs in."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.steps import same

task_prompt = "TASK-7: bring notes.txt up to date."
task_answer = "The notes say green now."


def read_file(path: str) -> str:
    """Reads a file."""
    return Path(path).read_text()


def run_command(command: str) -> str:
    """Runs a command in a shell."""
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def edit_file(path: str, old: str, new: str) -> str:
    """Replaces a text in a file."""
    Path(path).write_text(Path(path).read_text().replace(old, new))
    return f"edited {path}"


functions: dict[str, Callable[..., str]] = {
    one.__name__: one for one in (read_file, run_command, edit_file)
}


def _parameters(*names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }


#: By name: what it is.
schemas = {
    "read_file": _parameters("path"),
    "run_command": _parameters("command"),
    "edit_file": _parameters("path", "old", "new"),
}

chat_tools: list[Any] = [
    {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}
    for name, schema in schemas.items()
]
response_tools: list[Any] = [
    {"type": "function", "name": name, "description": name, "parameters": schema, "strict": True}
    for name, schema in schemas.items()
]
message_tools: list[Any] = [
    {"name": name, "description": name, "input_schema": schema} for name, schema in schemas.items()
]


def call_tool(name: str, arguments: dict[str, Any]) -> str:
    return functions[name](**arguments)


def do_task(work: Callable[[], object]) -> str:
    """Does the task from its beginning and sees that it is done. `work` gives the last answer."""
    Path("notes.txt").write_text("the colour is blue\n")
    Path("ran.txt").unlink(missing_ok=True)
    same(work(), task_answer)
    same(Path("notes.txt").read_text(), "the colour is green\n")
    same(Path("ran.txt").read_text(), "ran-42\n")
    return task_answer
