"""`agentgym/KeyDoor-v0`: fetch the key, reach the door, keep off the lava."""

from agentgym.envs.keydoor.env import KeyDoor, KeyDoorConfig

__all__ = ["KeyDoor", "KeyDoorConfig"]
