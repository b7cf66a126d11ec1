"""`agentgym sandbox reap`: removes what killed processes left."""

from agentgym.cli.options import Json
from agentgym.cli.output import echo, echo_json, note, one_line


def reap(json: Json = False) -> None:
    """Remove containers, control groups and half-built images whose owner is gone.

    Every start of sandboxes does the same for its own backend. What a living process of this
    machine has is never touched.

    JSON: [{kind: container|group|image, name}]
    """
    from agentgym.errors import SandboxUnavailable
    from agentgym.sandboxes import cgroups, images
    from agentgym.sandboxes.docker import reaper
    from agentgym.sandboxes.docker.engine import Engine

    removed = [("group", name) for name in cgroups.reap(cgroups.tops("agentgym"))]
    removed += [("image", name) for name in images.reap()]
    try:
        with Engine() as engine:
            removed += [("container", name) for name in reaper.reap(engine)]
    except SandboxUnavailable as error:
        note(f"left out: docker: {one_line(str(error))}")
    if json:
        echo_json([{"kind": kind, "name": name} for kind, name in removed])
        return
    for kind, name in removed:
        echo(f"removed {kind} {name}")
    if not removed:
        echo("nothing to remove")
