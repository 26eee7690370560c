"""How every job meets the command line: a table at the end, one line and exit code 2 for what is wrong."""

import pytest

from jobs.command import Summary, run
from jobs.units import finished, unit_file
from knowlip.errors import DataError, WorkspaceError
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace


class CountSettings(JobSettings):
    """Count something."""

    upto: int = 1
    """How far."""


def test_the_table_shows_counts_where_and_what_was_set_aside(capsys):
    def job(settings):
        return Summary("Counted", {"kept": 12345, "share": 0.51234}, ["b.tif: empty [bold]"], where="somewhere/far")

    run(CountSettings, job, ["--upto", "3"])
    text = capsys.readouterr().out
    for word in ("Counted", "12,345", "0.512", "somewhere/far", "took", "set aside: b.tif: empty [bold]"):
        assert word in text


@pytest.mark.parametrize("argv", [["--upto", "x"], ["--uptoo", "1"]])
def test_a_wrong_setting_is_one_line_and_code_2_and_the_job_never_starts(argv, capsys):
    started = []
    with pytest.raises(SystemExit) as caught:
        run(CountSettings, started.append, argv)
    captured = capsys.readouterr()
    assert caught.value.code == 2
    assert captured.err.count("\n") == 1
    assert (captured.out, started) == ("", [])


def test_a_problem_of_ours_is_one_line_also_from_below_other_errors(capsys):
    def job(settings):
        try:
            raise DataError("row 3 is odd", where="t.parquet", fix="mend it")
        except DataError as error:
            raise RuntimeError("a worker failed") from error

    with pytest.raises(SystemExit) as caught:
        run(CountSettings, job, [])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "t.parquet: row 3 is odd; mend it\n"


def test_a_bug_keeps_its_traceback():
    def job(settings):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(CountSettings, job, [])


def test_a_problem_from_a_ray_task_is_one_line(ray_cluster, capsys):
    import ray

    @ray.remote
    def task():
        raise DataError("row 3 is odd", where="t.parquet")

    with pytest.raises(SystemExit) as caught:
        run(CountSettings, lambda _: ray.get(task.remote()), [])
    assert caught.value.code == 2
    assert "t.parquet: row 3 is odd\n" in capsys.readouterr().err


class TestUnits:
    def test_a_unit_is_done_when_its_file_is_there(self, workspace_root):
        workspace = Workspace(workspace_root)
        assert finished(workspace, "tiles", recipe="r1") == set()
        for unit in ("scene-0", "scene-1"):
            workspace.write_bytes(b"", "tiles", unit_file(unit, "r1"))
        workspace.write_bytes(b"", "tiles", "_rejected", unit_file("scene-2", "r1"))
        assert finished(workspace, "tiles", recipe="r1") == {"scene-0", "scene-1"}

    def test_units_of_other_settings_are_refused_or_replaced(self, workspace_root):
        workspace = Workspace(workspace_root)
        workspace.write_bytes(b"", "tiles", unit_file("a", "old"))
        workspace.write_bytes(b"", "tiles", unit_file("b", "new"))
        with pytest.raises(WorkspaceError, match=r"other settings.*--overwrite"):
            finished(workspace, "tiles", recipe="new")
        assert finished(workspace, "tiles", recipe="new", overwrite=True) == {"b"}
        assert workspace.files("tiles") == [unit_file("b", "new")]
