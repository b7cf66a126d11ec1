"""`agentgym`, and `python -m agentgym`."""

import sys


def main() -> int:
    """Run a command and return its exit code, also where Ctrl-C comes before it is loaded."""
    try:
        from agentgym.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
