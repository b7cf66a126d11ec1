"""Makes the default image: `python -m agentgym.sandboxes.docker`."""

import sys

from agentgym.errors import AgentGymError
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.images import DEFAULT_IMAGE, build


def main() -> int:
    """Build it from what is installed here, and print its digest."""
    try:
        with Engine() as engine:
            sys.stdout.write(f"{DEFAULT_IMAGE} {build(engine)}\n")
    except AgentGymError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
