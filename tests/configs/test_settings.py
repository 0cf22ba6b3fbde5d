"""Settings: precedence, refusals that help, masking, and the way to a Ray actor and back."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.explain import mask_url
from configs.settings import Settings, SettingsError, known_settings, load_settings


def load(*sets: str, profile: str = "laptop", overrides: dict | None = None, **environ: str) -> Settings:
    return load_settings(profile, sets, overrides, environ)


def problems_of(*sets: str, **more) -> list:
    with pytest.raises(SettingsError) as caught:
        load(*sets, **more)
    return caught.value.problems


# --- precedence -------------------------------------------------------------------------------------------------------


def test_each_source_is_stronger_than_the_one_before(tmp_path):
    profile = tmp_path / "mine.toml"
    profile.write_text("[server]\nport = 8001\n")
    assert load().server.port == 8000
    steps = [
        ({"profile": str(profile)}, 8001, "profile mine.toml"),
        ({"ROOKERY_SERVER__PORT": "8002"}, 8002, "environment ROOKERY_SERVER__PORT"),
        ({"overrides": {"server.port": 8004}}, 8004, "command line"),
    ]
    given_so_far = {}
    for step, port, origin in steps:
        given_so_far.update(step)
        settings = load(**given_so_far)
        assert settings.server.port == port
        assert {row.name: row.origin for row in settings.rows()}["server.port"] == origin
    given_so_far.pop("overrides")
    assert load("server.port=8003", **given_so_far).server.port == 8003
    assert load("server.port=8003", "server.port=8005", **given_so_far).server.port == 8005


def test_an_override_of_none_was_not_given():
    assert load(overrides={"server.port": None, "server.host": "::1"}).server.port == 8000


def test_overrides_may_be_nested():
    assert load(overrides={"server": {"port": 9000}}).server.port == 9000


def test_environment_names_without_a_section_belong_to_others():
    assert load(ROOKERY_SEED="7", PATH="/bin") == load()


def test_text_becomes_the_type_of_the_setting(tmp_path):
    settings = load(
        "limits.enabled=no",
        "auth.token_cache_s=1.5",
        f"storage.data_dir={tmp_path}",
        "server.trusted_proxies=10.0.0.0/8, ::1",
    )
    assert settings.limits.enabled is False
    assert settings.auth.token_cache_s == 1.5
    assert settings.storage.data_dir == tmp_path
    assert settings.server.trusted_proxies == ("10.0.0.0/8", "::1")


def test_a_profile_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 8003\r\n")
    assert load(profile=str(path)).server.port == 8003


def test_a_value_may_contain_an_equals_sign():
    assert load("storage.redis_url=redis://h/0?db=3").storage.redis_url == "redis://h/0?db=3"


def test_a_relative_data_folder_is_made_absolute_at_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("storage.data_dir=here").storage.data_dir == tmp_path / "here"


def test_settings_scripts_rely_on_have_their_promised_defaults():
    settings = load()
    assert (settings.auth.mode, settings.limits.enabled, settings.tweet.max_chars) == ("token", True, 280)
    assert (settings.timeline.length, settings.timeline.dormant_after_days) == (800, 30)
    assert (settings.storage.backend, settings.durability.ack) == ("duckdb", "journal")
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("cluster.shards=many", "must be a whole number from 1 to 256", "for example cluster.shards=2"),
        ("cluster.shards=2.5", "must be a whole number from 1 to 256", "for example cluster.shards=2"),
        ("cluster.shards=0", "must be a whole number from 1 to 256", "for example cluster.shards=2"),
        (
            "timeline.pull_threshold=0",
            "must be a whole number of at least 1",
            "for example timeline.pull_threshold=10000",
        ),
        ("auth.token_cache_s=nan", "must be a number from 0 to 300", "for example auth.token_cache_s=5.0"),
        ("limits.enabled=maybe", "must be true or false", "for example limits.enabled=true"),
        ("auth.mode=tokn", "must be one of token, open", "did you mean auth.mode=token?"),
        ("server.host=a b", "must be a host name or an IP address", "for example server.host=127.0.0.1"),
        ("storage.data_dir=", "must be the path of a folder", "for example storage.data_dir=data"),
    ],
)
def test_an_unusable_value_is_refused_with_what_would_be_right(text, message, fix):
    [problem] = problems_of(text)
    assert (problem.field, problem.origin, problem.message, problem.fix) == (text.split("=")[0], "--set", message, fix)


def test_true_is_no_number(tmp_path):
    profile = tmp_path / "wrong.toml"
    profile.write_text("[cluster]\nshards = true\n")
    [problem] = problems_of(profile=str(profile))
    assert problem.field == "cluster.shards"


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("tweet.max_char", "tweet.max_chars"),
        ("twet.max_chars", "tweet.max_chars"),
        ("shards", "cluster.shards"),
        ("cluster.host", "server.host"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(name, guess):
    [problem] = problems_of(f"{name}=1")
    assert str(problem) == f"{name} (from --set): is not a setting; did you mean {guess}?"


def test_an_unknown_name_in_the_environment_names_its_variable():
    [problem] = problems_of(ROOKERY_TWEET__MAX_CHAR="3")
    assert problem.origin == "environment ROOKERY_TWEET__MAX_CHAR"
    assert "tweet.max_chars" in problem.fix


def test_a_section_is_not_a_setting(tmp_path):
    profile = tmp_path / "wrong.toml"
    profile.write_text("cluster = 4\n")
    [problem] = problems_of(profile=str(profile))
    assert "its settings are shards, replicas" in problem.fix


def test_a_set_without_a_value_is_refused():
    [problem] = problems_of("cluster.shards")
    assert problem.fix == "write it as SECTION.KEY=VALUE"


def test_all_problems_of_all_sources_come_at_once_without_pydantic_words():
    with pytest.raises(SettingsError) as caught:
        load(
            "cluster.shards=many",
            "x",
            "auth.mode=open",
            "server.host=0.0.0.0",
            ROOKERY_TWEET__MAX_CHARS="0",
            ROOKERY_A__B="1",
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert text.startswith("5 settings can't be used:\n  ")
    assert not [word for word in ("pydantic", "validation", "input_value", "type=", "ValidationError") if word in text]


def test_an_unknown_profile_is_refused_with_the_nearest_known_one():
    [problem] = problems_of(profile="labtop")
    assert "did you mean laptop?" in problem.fix


def test_a_profile_that_is_not_toml_is_refused_with_the_place(tmp_path):
    profile = tmp_path / "broken.toml"
    profile.write_text("[server\n")
    [problem] = problems_of(profile=str(profile))
    assert "line 1" in problem.message


# --- frozen, printed, handed on ---------------------------------------------------------------------------------------


def test_settings_can_not_be_changed():
    settings = load()
    with pytest.raises(ValidationError):
        settings.server.port = 1
    with pytest.raises(ValidationError):
        settings.server = settings.server


def test_settings_survive_the_way_to_an_actor_and_keep_their_origins():
    settings = load("server.port=8003", "server.trusted_proxies=10.0.0.0/8", profile="test")
    again = Settings.from_dict(pickle.loads(pickle.dumps(settings.to_dict())))
    assert again == settings
    assert again.describe() == settings.describe()


def test_rebuilding_reads_no_environment(monkeypatch):
    plain = load().to_dict()
    monkeypatch.setenv("ROOKERY_SERVER__PORT", "9999")
    monkeypatch.setenv("SERVER", '{"port": 9998}')
    assert Settings.from_dict(plain).server.port == 8000


def test_rebuilding_from_a_wrong_dict_is_refused():
    with pytest.raises(SettingsError):
        Settings.from_dict({"server": {"port": 0}})


def test_the_table_shows_every_setting_with_origin_and_help():
    lines = load("server.port=8003").describe().splitlines()
    assert len(lines) == len(known_settings()) + 1
    [line] = [line for line in lines if line.startswith("server.port")]
    assert line.split()[1:3] == ["8003", "--set"]
    assert all(field.description for field in known_settings().values())


def test_a_password_is_shown_nowhere():
    settings = load("storage.redis_url=redis://me:hunter2@host:6379/0")
    assert "redis://me:***@host:6379/0" in settings.describe()
    assert "hunter2" not in settings.describe() + repr(settings) + str(settings)
    assert settings.to_dict()["storage"]["redis_url"] == "redis://me:hunter2@host:6379/0"


@pytest.mark.parametrize(
    "text", ["storage.redis_url=http://me:hunter2@host", "storage.redis_url redis://:hunter2@host"]
)
def test_a_password_is_not_in_a_refusal_either(text):
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert "hunter2" not in str(caught.value)


@given(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1))
def test_no_password_survives_masking(password):
    assert mask_url(f"redis://user:{password}@host/0") == "redis://user:***@host/0"
