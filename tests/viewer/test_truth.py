"""Token truth: ids that their own text would not give again are found, and no others."""

import pytest
from hypothesis import given, strategies as st

from agentgym.demo import write_demo
from agentgym.store.episodes import EpisodeWriter, read_episodes
from agentgym.viewer.pieces import Pieces
from agentgym.viewer.truth import retokenised


def merging():
    """A tokenizer of bytes that writes `he` and `hey` as one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*letters, "he", "hey"])}
    merges = [("h", "e"), ("he", "y")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@given(st.text("heyé🙂 \n", max_size=300), st.data())
def test_what_a_tokenizer_wrote_is_the_truth(text, data) -> None:
    pieces = Pieces(merging())
    ids = pieces.encode(text)
    first = data.draw(st.integers(0, len(ids)))
    stop = data.draw(st.integers(first, len(ids)))
    assert retokenised(pieces, ids, first=first, stop=stop) == [None] * (stop - first)


@given(st.lists(st.sampled_from(["h", "e", "y", "he", "hey", " "]), max_size=300), st.data())
def test_parts_that_are_read_otherwise_make_the_text_again(words, data) -> None:
    tokenizer = merging()
    pieces, ids = Pieces(tokenizer), [tokenizer.token_to_id(w if w != " " else "Ġ") for w in words]
    found = retokenised(pieces, ids, first=0, stop=len(ids))
    rebuilt, last = [], None
    for own, other in zip(ids, found, strict=True):
        if other is None:
            rebuilt.append(own)
        elif other is not last:
            rebuilt += other
        last = other
    assert rebuilt == pieces.encode("".join(words))
    first = data.draw(st.integers(0, len(ids)))
    assert retokenised(pieces, ids, first=first, stop=len(ids)) == found[first:]


def test_a_split_word_is_told_with_what_would_stand_there() -> None:
    tokenizer = merging()
    pieces = Pieces(tokenizer)
    h, e, he, x = (tokenizer.token_to_id(each) for each in ("h", "e", "he", "x"))
    assert retokenised(pieces, [x, h, e, x, he], first=0, stop=5) == [None, [he], [he], None, None]


@given(st.lists(st.integers(0, 400), max_size=40))
def test_any_ids_have_an_answer(ids) -> None:
    found = retokenised(Pieces(merging()), ids, first=0, stop=len(ids))
    assert len(found) == len(ids)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "demo"
    write_demo(root)
    return root


def test_the_server_tells_it_of_every_token(browse, demo) -> None:
    client = browse(demo)
    (episode, *_) = (each for each in read_episodes(demo) if each.segments)
    path = f"/api/runs/demo/episodes/{episode.id}/truth"
    found = client.get(path).json()
    assert found["of"] == len(found["truth"]) == len(episode.segments[0].token_ids)
    part = client.get(f"{path}?first=3&stop=9").json()
    assert (part["truth"], part["first"]) == (found["truth"][3:9], 3)


def test_without_a_tokenizer_it_says_why(browse, trained) -> None:
    (episode, *_) = read_episodes(trained)
    found = browse(trained).get(f"/api/runs/trained/episodes/{episode.id}/truth").json()
    assert found["truth"] is None
    assert "tokenizer.json" in found["why"]


def test_an_episode_that_drifted_has_a_tag(browse, tmp_path, trained) -> None:
    import shutil

    root = tmp_path / "run"
    shutil.copytree(trained, root)
    (episode, *_) = read_episodes(trained)
    episode.id, episode.drift = "drifted", 3
    with EpisodeWriter(root) as writer:
        writer.append(episode)
    client = browse(root)
    assert client.get("/api/runs/run/episodes/drifted").json()["drift"] == 3
    rows = client.get('/api/runs/run/episodes?where=tag="drift"').json()["rows"]
    assert [each["id"] for each in rows] == ["drifted"]
