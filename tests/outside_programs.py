"""Programs from outside, as the tests of the gateway start them: plain Python, nothing of ours."""

import shlex
import sys
from pathlib import Path

CLIENT = '''
import json, os, sys, time, urllib.request, urllib.error

def send(path, body=None, headers=(), timeout=60):
    """Return status and body."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(os.environ["AGENTGYM_URL"] + path, data)
    request.add_header("Authorization", "Bearer " + os.environ["OPENAI_API_KEY"])
    for name, value in headers:
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

def ask(messages, **more):
    """Return the message of the model."""
    status, body = send("/v1/chat/completions", {"model": "m", "messages": messages, **more})
    if status != 200:
        raise SystemExit(f"{status} {body}")
    return json.loads(body)["choices"][0]["message"]

task = open(os.environ["AGENTGYM_TASK_FILE"]).read()
'''


def write_program(folder: Path, body: str, *arguments: str) -> str:
    """Write a program and return the command that starts it."""
    file = folder / "program.py"
    file.write_text(CLIENT + body)
    return shlex.join([sys.executable, "-S", "-E", str(file), *arguments])
