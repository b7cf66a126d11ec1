"""What a program did, by what its worker replied and what its control group counted."""

import signal

from agentgym.sandbox import ExecResult, Limits, Status
from agentgym.sandboxes.counters import Counts
from agentgym.sandboxes.line import Reply


def judge(reply: Reply, limits: Limits, before: Counts, after: Counts) -> ExecResult:
    """Say what became of it: the first limit it broke counts, not how it then ended."""
    cpu_s = reply.cpu_s
    if before.cpu_s is not None and after.cpu_s is not None:
        cpu_s = after.cpu_s - before.cpu_s
    oom_kills = after.oom_kills - before.oom_kills
    status = _status(reply, took_too_long=cpu_s >= limits.cpu_s, oom_kills=oom_kills)
    return ExecResult(
        status=status,
        exit_code=reply.code if status is Status.EXITED else None,
        signal=reply.code if status is Status.SIGNALED else None,
        stdout=reply.stdout,
        stderr=reply.stderr,
        stdout_total=reply.stdout_total,
        stderr_total=reply.stderr_total,
        wall_s=reply.wall_s,
        cpu_s=cpu_s,
        oom_kills=oom_kills,
        session_ended=reply.session_ended,
    )


def broke_a_limit(result: ExecResult) -> bool:
    """Whether it was ended, or ought to have been: a session then goes with it."""
    return result.status not in (Status.EXITED, Status.SIGNALED)


def _status(reply: Reply, *, took_too_long: bool, oom_kills: int) -> Status:
    killed_for_cpu = reply.status is Status.SIGNALED and reply.code == signal.SIGXCPU
    if oom_kills:
        return Status.OOM
    if reply.status is not Status.OUTPUT_LIMIT and (killed_for_cpu or took_too_long):
        return Status.CPU_LIMIT
    return reply.status
