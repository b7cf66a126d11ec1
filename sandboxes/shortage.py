"""What a machine lacks when a sandbox cannot be started."""

import errno

from agentgym.errors import SandboxUnavailable

_HINTS = {
    errno.EMFILE: "let this process open more files: ulimit -n 8192",
    errno.ENFILE: "let this machine open more files: sysctl -w fs.file-max=1000000",
    errno.ENOMEM: "run fewer episodes at once",
    errno.EAGAIN: "let this user have more processes: ulimit -u",
    errno.ENOSPC: "remove what was left: agentgym sandbox reap",
}


def not_started(error: Exception) -> SandboxUnavailable:
    """Turn what kept a sandbox from starting into the reason and the mend."""
    number = error.errno if isinstance(error, OSError) else None
    return SandboxUnavailable(
        f"the sandbox did not start: {error}", hint=_HINTS.get(number or 0, "agentgym doctor")
    )
