"""Settings come from flags, then the file, then the environment, then defaults; what is wrong is one line."""

from typing import ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from knowlip.errors import SettingsError
from knowlip.settings import JobSettings, Section, read_settings


class Cutting(Section):
    """How to cut."""

    extent_m: float = Field(1024, gt=0)
    """Ground extent, metres."""

    edge: Literal["drop", "pad"] = "drop"
    """What to do at the edge."""


class Sources(Section):
    """What to cut."""

    paths: tuple[str, ...] = ()
    """Files."""


class ExampleSettings(JobSettings):
    """Cut things up."""

    short_flags: ClassVar[dict[str, str]] = {"--sources": "--sources.paths"}

    sources: Sources = Sources()
    cutting: Cutting = Cutting()
    seed: int = 0
    """Seed."""


def read(*argv: str) -> ExampleSettings:
    return read_settings(ExampleSettings, argv, prog="python -m jobs.example")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config file.yaml"
    path.write_text("cutting: {extent_m: 33, edge: pad}\nseed: 3\n")
    return str(path)


def test_defaults():
    settings = read()
    assert settings.cutting == Cutting()
    assert settings.workspace == "workspace"


def test_a_flag_beats_the_file_and_leaves_the_rest_of_its_section(config):
    settings = read("--config", config, "--cutting.extent-m", "66")
    assert settings.cutting == Cutting(extent_m=66, edge="pad")
    assert settings.seed == 3


def test_the_file_beats_the_environment(config, monkeypatch):
    monkeypatch.setenv("KNOWLIP_SEED", "9")
    assert read().seed == 9
    assert read(f"--config={config}").seed == 3


def test_the_variable_of_the_tests_sets_no_job_s_data(monkeypatch):
    class DataSettings(JobSettings):
        """Take data."""

        data: str = "vqa"
        """Data."""

    monkeypatch.setenv("KNOWLIP_DATA", "/somewhere/real")
    assert read_settings(DataSettings, [], prog="job").data == "vqa"
    assert read_settings(DataSettings, ["--data", "mine"], prog="job").data == "mine"


def test_help_tells_of_the_file_and_of_short_flags(capsys):
    with pytest.raises(SystemExit) as ended:
        read("--help")
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--config FILE" in told
    assert "--sources " in told


def test_lists_take_several_values_by_long_or_short_flag():
    for flag in ("--sources", "--sources.paths"):
        assert read(flag, "a b.tif", "c.tif", "--seed", "1").sources.paths == ("a b.tif", "c.tif")


def test_switches():
    settings = read("--dry-run", "--overwrite", "--no-strict")
    assert (settings.dry_run, settings.overwrite, settings.strict) == (True, True, False)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--cutting.extent-m", "-5"], ["cutting.extent_m", "-5", "greater than 0"]),
        (["--cutting.edge", "bend"], ["cutting.edge", "'bend'", "'drop' or 'pad'"]),
        (["--seed", "x"], ["seed", "'x'", "integer"]),
        (["--cuting.extent-m", "5"], ["--cuting.extent-m", "--cutting.extent-m"]),
        (["--config"], ["--config", "no file"]),
        (["--config", "no/such.yaml"], ["no/such.yaml", "cannot be read"]),
    ],
)
def test_a_wrong_setting_is_one_line_naming_field_value_and_what_is_allowed(argv, words):
    with pytest.raises(SettingsError) as caught:
        read(*argv)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cutting: {extent_m: 33, egde: pad}", ["cutting.egde", "did you mean cutting.edge?"]),
        ("sneed: 3", ["sneed", "is no setting, did you mean seed?"]),
        ("colour: 3", ["colour = 3: is no setting; see --help"]),
        ("- a\n- b", ["not a mapping"]),
        ("a: [", ["not YAML"]),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read("--config", str(path))
    assert all(word in str(caught.value) for word in words)


def test_settings_cannot_be_changed_but_revised_and_are_checked_then():
    settings = read()
    with pytest.raises(ValidationError):
        settings.seed = 4
    assert settings.revised(seed=4).seed == 4
    assert settings.seed == 0
    with pytest.raises(ValidationError):
        settings.revised(seed="x")


def test_the_recipe_follows_what_shapes_the_result_and_nothing_else():
    plain = read().recipe()
    assert plain == read("--workspace", "elsewhere", "--dry-run", "--strict", "--overwrite").recipe()
    assert plain != read("--seed", "1").recipe()
    assert plain != read("--cutting.edge", "pad").recipe()


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        read("--help")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for word in ("Cut things up", "--cutting.extent-m", "Ground extent, metres", "--dry-run", "--workspace"):
        assert word in text
