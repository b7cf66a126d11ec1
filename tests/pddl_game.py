"""A game in the format of ALFWorld's files, small enough to be written by hand."""

import json
from pathlib import Path

_DOMAIN = """
(define (domain kitchen)
  (:requirements :typing)
  (:types agent receptacle object)
  (:predicates
    (at ?a - agent ?r - receptacle)
    (inreceptacle ?o - object ?r - receptacle)
    (holds ?a - agent ?o - object)
    (handsfree ?a - agent))
  (:action go
    :parameters (?a - agent ?from - receptacle ?r - receptacle)
    :precondition (at ?a ?from)
    :effect (and (not (at ?a ?from)) (at ?a ?r)))
  (:action take
    :parameters (?a - agent ?o - object ?r - receptacle)
    :precondition (and (at ?a ?r) (inreceptacle ?o ?r) (handsfree ?a))
    :effect (and (holds ?a ?o) (not (inreceptacle ?o ?r)) (not (handsfree ?a))))
  (:action put
    :parameters (?a - agent ?o - object ?r - receptacle)
    :precondition (and (at ?a ?r) (holds ?a ?o))
    :effect (and (inreceptacle ?o ?r) (not (holds ?a ?o)) (handsfree ?a))))
"""

_PROBLEM = """
(define (problem supper)
  (:domain kitchen)
  (:objects agent1 - agent
            Apple_bar_01 Apple_bar_02 - object
            Fridge_bar_01 Table_bar_01 - receptacle)
  (:init (at agent1 Table_bar_01) (handsfree agent1)
         (inreceptacle Apple_bar_01 Fridge_bar_01) (inreceptacle Apple_bar_02 Fridge_bar_01))
  (:goal (and (inreceptacle Apple_bar_0{number} Table_bar_01))))
"""

_RULES = {
    "intro": "-= Welcome to the kitchen =-\n\nYour task is to: put apple {number} on the table.",
    "go.feedback": "You arrive at {r.name}.",
    "take.feedback": "You take the {o.name} from the {r.name}.",
    "put.feedback": "You put the {o.name} on the {r.name}.",
}

_ACTIONS = """
action go { template :: "go to {r}"; feedback :: "#go.feedback#"; }
action take { template :: "take {o} from {r}"; feedback :: "#take.feedback#"; }
action put { template :: "put {o} on {r}"; feedback :: "#put.feedback#"; }
"""


def write_game(path: Path, *, number: int = 1, solvable: bool = True) -> None:
    """Write a game in which an apple of two is to be put on the table."""
    rules = {
        name: [{"rhs": text.replace("{number}", str(number))}] for name, text in _RULES.items()
    }
    game = {
        "pddl_domain": _DOMAIN,
        "pddl_problem": _PROBLEM.replace("{number}", str(number)),
        "grammar": f'grammar :: """{json.dumps(rules)}""";\n{_ACTIONS}',
        "solvable": solvable,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(game))
