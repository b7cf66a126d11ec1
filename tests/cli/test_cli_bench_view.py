def test_a_case_that_there_is_not_is_told(agentgym) -> None:
    done = agentgym("bench", "view", "runs")
    assert done.code == 2
    assert "there is no case 'runs'" in done.err
    assert "run, episode, index" in done.err


def test_the_index_needs_no_browser(agentgym, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = agentgym("bench", "view", "index", "--heads", "300", "--json")
    assert done.code == 0, done.err
    assert [row["figure"] for row in done.json] == ["index", "1000 more"]
    assert all(row["per_second"] > 0 for row in done.json)
    assert set(done.json[0]) == {
        *("case", "figure", "n", "p50_ms", "p95_ms", "server_ms", "page_ms", "per_second"),
        *("peak_mb", "load"),
    }
