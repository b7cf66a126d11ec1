"""What sandboxes are made from: root trees, built without a network from what is installed here."""

from agentgym.sandboxes.images.build import build, make
from agentgym.sandboxes.images.recipes import RECIPES, Recipe
from agentgym.sandboxes.images.shelf import Image, find, find_all, reap

__all__ = ["RECIPES", "Image", "Recipe", "build", "find", "find_all", "make", "reap"]
