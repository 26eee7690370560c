"""One line a problem, and an error that survives the way through Ray."""

import pickle

import pytest

from knowlip import errors


def test_a_line_says_where_what_and_what_to_do():
    error = errors.SceneError("holds no bytes", where="a.tif", fix="fetch it again", code="empty_file")
    assert str(error) == "a.tif: holds no bytes; fetch it again"
    assert error.code == "empty_file"


@pytest.mark.parametrize(("where", "fix", "line"), [("", "", "odd"), ("f", "", "f: odd"), ("", "mend", "odd; mend")])
def test_parts_that_are_not_known_leave_no_trace(where, fix, line):
    assert str(errors.KnowlipError("odd", where=where, fix=fix)) == line


def test_line_breaks_of_wrapped_messages_never_reach_the_line():
    assert "\n" not in str(errors.DataError("first\nsecond", where="t"))


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_kind_survives_pickling(name):
    error = getattr(errors, name)("odd", where="f", fix="mend", code="c")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is type(error)
    assert (str(copy), copy.code) == (str(error), "c")
    assert isinstance(copy, errors.KnowlipError)


def test_the_cause_of_an_error_is_found_through_what_wraps_it():
    ours = errors.WorkspaceError("is full", code="disk_full")
    wrapped = RuntimeError("a worker died")
    wrapped.cause = ValueError("odd")  # as Ray's RayTaskError holds it
    wrapped.cause.__cause__ = ours
    assert errors.cause_of(wrapped, errors.WorkspaceError) is ours
    assert errors.cause_of(wrapped, errors.KnowlipError) is ours
    assert errors.cause_of(wrapped, errors.SceneError) is None
    assert errors.cause_of(None, errors.KnowlipError) is None
