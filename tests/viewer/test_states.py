import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import groups, make_group, make_step

from agentgym.viewer.states import map_states


def maze(*walks, ends=None):
    """Members that go through states: (state, action) pairs, then where they end."""
    found = []
    for walk, end in zip(walks, ends or [None] * len(walks), strict=True):
        after = [state for state, _ in walk[1:]] + [end]
        found.append(
            [
                make_step(state=state, action=action, next_state=to, outcome=0.0)
                for (state, action), to in zip(walk, after, strict=True)
            ]
        )
    return make_group(*found).trajectories


def named(drawn):
    return {node.key: node for node in drawn.nodes if node.kind == "state"}


def drawn(members, returns=None):
    return map_states(members, returns=returns or [0.0] * len(members))


def test_states_are_nodes_and_actions_are_edges():
    members = maze([("s", "left"), ("t", "go")], [("s", "left"), ("t", "stay"), ("t", "go")])
    found = map_states(
        members,
        returns=[1.0, 0.0],
        advantages={"g/0": [1.0, 2.0], "g/1": [-1.0, -3.0, -4.0]},
    )
    states = named(found)
    assert states["s"].visits == 2
    assert (states["t"].visits, states["t"].members, states["t"].value) == (3, (0, 1), 0.5)
    assert (states["s"].advantage, states["t"].advantage) == (0.0, pytest.approx(-5 / 3))
    edges = {(found.nodes[e.start].key, e.action, found.nodes[e.stop].key): e for e in found.edges}
    assert edges["s", "left", "t"].steps == ((0, 0), (1, 0))
    assert edges["s", "left", "t"].advantage == 0.0
    assert edges["t", "stay", "t"].steps == ((1, 1),)
    (end,) = (node for node in found.nodes if node.kind == "end")
    assert (end.key, end.visits, end.advantage) == ("terminated, outcome 0", 2, None)


def test_a_fault_ends_without_an_outcome():
    (member,) = maze([("s", "left")])
    found = drawn([replace(member, steps=[], end="error")])
    assert [(node.kind, node.key) for node in found.nodes] == [("end", "error")]


def test_an_episode_without_reward_terms_ends_with_its_outcome_unless_it_has_none():
    """An environment may give nothing to those who fail; a file of another program tells nothing."""
    (member,) = maze([("s", "left")])
    silent = replace(member, steps=[])
    ends = {"terminated, outcome 0": 0.0, "terminated": None}
    for told, outcome in ends.items():
        (end,) = drawn([silent], returns=[outcome]).nodes
        assert (end.kind, end.key) == ("end", told)


def test_where_winners_and_losers_part_is_told():
    """Both do "a" at s; at t winners do "b", losers half "b" and half "c"; only losers come to u."""
    won = [("s", "a"), ("t", "b")]
    members = maze(won, won, [*won, ("u", "z")], [("s", "a"), ("t", "c")])
    found = drawn(members, returns=[1.0, 1.0, 0.0, 0.0])
    assert {key: node.parts for key, node in named(found).items()} == {
        "s": 0.0,
        "t": 0.5,
        "u": None,
    }
    alike = drawn(members, returns=[0.3] * 4)
    assert {node.parts for node in alike.nodes} == {None}


def test_who_has_no_return_says_nothing_of_a_state():
    members = maze([("s", "a")], [("s", "b")], [("s", "c"), ("u", "z")])
    found = named(drawn(members, returns=[1.0, 0.0, None]))
    assert (found["s"].value, found["s"].visits, found["s"].parts) == (0.5, 3, 1.0)
    assert (found["u"].value, found["u"].parts) == (None, None)


@given(groups(), st.lists(st.floats(-1, 1), min_size=9, max_size=9))
def test_parting_is_a_distance_that_both_sides_share(drawn_groups, values):
    members = drawn_groups[0].trajectories
    returns = (values * len(members))[: len(members)]
    for node in drawn(members, returns).nodes:
        if node.parts is not None:
            won = {returns[member] > sum(returns) / len(returns) for member in node.members}
            assert 0 <= node.parts <= 1 + 1e-9
            assert won == {True, False}


def test_where_something_was_observed_last_is_a_state_too():
    found = drawn(maze([("s", "go")], ends=["z"]))
    assert [(node.kind, node.key) for node in found.nodes] == [("state", "s"), ("state", "z")]


def test_without_state_keys_it_is_the_prefix_tree_of_the_actions():
    walks = ["aab", "aac", "ab"]
    members = make_group(*[[make_step(action=each) for each in walk] for walk in walks])
    found = drawn(members.trajectories)
    prefixes = {walk[:k] for walk in walks for k in range(len(walk))}
    assert sum(node.kind == "path" for node in found.nodes) == len(prefixes)
    root = found.nodes[0]
    assert (root.x, root.visits) == (0, 3)
    assert len(found.edges) == len({walk[:k] for walk in walks for k in range(1, len(walk) + 1)})


def test_steps_without_a_key_hang_on_the_state_before():
    found = drawn(
        maze([("s", "a"), (None, "b")], [("t", "a"), (None, "b")], [("s", "a"), (None, "c")])
    )
    assert sorted(node.visits for node in found.nodes if node.kind == "path") == [1, 2]


@given(groups())
def test_nodes_do_not_overlap_and_stand_in_layers(drawn_groups):
    members = drawn_groups[0].trajectories
    found = drawn(members)
    places = {(node.x, node.y) for node in found.nodes}
    assert len(places) == len(found.nodes)
    for x in {node.x for node in found.nodes}:
        ys = sorted(node.y for node in found.nodes if node.x == x)
        assert all(b - a >= 1 for a, b in pairwise(ys))
    assert found.nodes[0].x == 0
    for edge in found.edges:
        assert found.nodes[edge.start].x <= min(step for _, step in edge.steps)
        assert found.nodes[edge.stop].x <= min(step for _, step in edge.steps) + 1


@given(groups())
def test_every_step_stands_on_one_edge(drawn_groups):
    members = drawn_groups[0].trajectories
    found = drawn(members)
    steps = sorted(pair for edge in found.edges for pair in edge.steps)
    assert steps == [(m, t) for m, each in enumerate(members) for t in range(len(each.steps))]
    assert sum(node.visits for node in found.nodes) == len(steps) + len(members)


@given(groups(), st.randoms())
def test_the_order_of_members_moves_nothing(drawn_groups, random):
    members = list(drawn_groups[0].trajectories)
    order = list(range(len(members)))
    random.shuffle(order)
    returns = [each.outcome for each in members]
    advantages = {each.id: [k - 1.5 for k in range(len(each.steps))] for each in members}
    before = map_states(members, returns=returns, advantages=advantages)
    after = map_states(
        [members[index] for index in order],
        returns=[returns[index] for index in order],
        advantages=advantages,
    )
    at = {member: index for index, member in enumerate(order)}
    assert after.nodes == tuple(
        replace(node, members=tuple(sorted(at[each] for each in node.members)))
        for node in before.nodes
    )
    assert after.edges == tuple(
        replace(edge, steps=tuple(sorted((at[m], t) for m, t in edge.steps)))
        for edge in before.edges
    )


def test_advantages_may_be_arrays():
    members = maze([("s", "a"), ("t", "b")], [("s", "a")])
    plain = {"g/0": [1.0, 2.0], "g/1": [3.0]}
    arrays = {name: np.array(values) for name, values in plain.items()}
    one, other = (map_states(members, returns=[0, 0], advantages=a) for a in (plain, arrays))
    assert one == other
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())


def test_json_names_the_ends_of_edges():
    found = drawn(maze([("s", "<b>")])).to_json()
    (edge,) = found["edges"]
    assert (edge["from"], edge["to"], edge["action"], edge["count"]) == (0, 1, "<b>", 1)
    assert [node["id"] for node in found["nodes"]] == [0, 1]
    assert found["nodes"][0]["key"] == "s"


def test_hostile_keys_and_no_members():
    assert drawn([]).nodes == ()
    long = "x" * 100_000
    assert len(named(drawn(maze([("\ud800", long), ("\0<script>", "")])))) == 2
    assert drawn(make_group([]).trajectories).nodes[0].kind == "end"


def test_sixteen_of_fifty_steps_are_mapped_at_once():
    walks = [[(f"s{(i * 7 + k) % 40}", f"a{(i * k) % 4}") for k in range(50)] for i in range(16)]
    members, seconds = maze(*walks), []
    for _ in range(5):
        began = time.perf_counter()
        drawn(members)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.05
