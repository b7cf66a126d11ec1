"""What is answered to a program that asked for something it cannot have."""

from typing import Any


class Refused(Exception):  # noqa: N818  an answer, not a fault of ours
    """Raised where a request is answered by an error, in the form that clients of OpenAI read."""

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        told = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": told}


def is_over(reason: str) -> Refused:
    """Return what is answered once an episode has ended. Clients do not try this again."""
    return Refused(410, f"the episode has ended: {reason}", code="episode_over")
