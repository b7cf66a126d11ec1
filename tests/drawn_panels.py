"""Panels of any content, drawn by Hypothesis."""

from hypothesis import strategies as st

from agentgym.panels import Diff, Grid, Panel, Table, Terminal

_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15)


def panels(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Panel]:
    """Panels of every kind that say these texts."""
    return (
        _grids(texts)
        | _tables(texts)
        | st.builds(Diff, before=texts, after=texts, title=texts)
        | st.builds(Terminal, text=texts, title=texts)
    )


@st.composite
def _grids(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> Grid:
    width = draw(st.integers(0, 4))
    row = st.lists(texts, min_size=width, max_size=width)
    legend = draw(st.dictionaries(texts, texts, max_size=3))
    return Grid(rows=draw(st.lists(row, max_size=4)), legend=legend, title=draw(texts))


@st.composite
def _tables(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> Table:
    columns = draw(st.lists(texts, max_size=3))
    values = st.none() | st.booleans() | texts | _NUMBERS
    row = st.lists(values, min_size=len(columns), max_size=len(columns))
    return Table(columns=columns, rows=draw(st.lists(row, max_size=4)), title=draw(texts))
