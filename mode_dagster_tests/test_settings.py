"""Settings: everything wrong is said at once, with what to do; no secret is ever said."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

import mode_dagster
from mode_dagster.extract.destination import database_path
from mode_dagster.extract.endpoints import Listing
from mode_dagster.extract.errors import ModeConfigError
from mode_dagster.settings import ENV_PREFIX, Operation, Settings, load_settings


def set_all(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setenv(ENV_PREFIX + name.upper(), str(value))


def test_defaults_are_those_of_mode(monkeypatch):
    set_all(monkeypatch, workspace="acme", username="t", password="s")
    settings = load_settings()
    assert settings.base_url == "https://app.mode.com/api"
    assert settings.listing is Listing.COLLECTIONS
    assert (settings.rate_limit_requests, settings.rate_limit_seconds) == (40, 10.0)
    assert (settings.history_days, settings.query_run_days, settings.max_requests) == (0, 30, 0)


def test_a_copy_of_the_example_is_enough_for_a_workspace_of_your_own_in_a_file_of_its_own(
    monkeypatch, dlt_files, tmp_path
):
    shipped = Path(__file__).parent.parent / ".dlt"
    config, example = ((shipped / name).read_text() for name in ("config.toml", "secrets.toml.example"))
    monkeypatch.delenv("DESTINATION__DUCKDB__CREDENTIALS")
    dlt_files(config=config)
    assert load_settings().is_sandbox
    dlt_files(config=config, secrets=example)
    assert (load_settings().base_url, load_settings().workspace) == ("https://app.mode.com/api", "acme")
    assert database_path() == str(tmp_path / "acme.duckdb")


def test_all_missing_settings_are_named_at_once_with_both_ways_to_set_them(monkeypatch):
    monkeypatch.setenv("USERNAME", "the operating system's")
    monkeypatch.setenv("WORKSPACE", "the build server's")
    with pytest.raises(ModeConfigError) as raised:
        load_settings()
    message = str(raised.value)
    for name in ("workspace: not set", "username: not set", "password: not set"):
        assert name in message
    assert ".dlt/secrets.toml" in message
    assert ENV_PREFIX in message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("listing", "colections", "'colections' is not one of collections, discovery, workspace"),
        ("rate_limit_requests", "many", "'many' is not a whole number"),
        ("rate_limit_requests", "0", "0 would allow no request"),
        ("history_days", "-1", "'-1' is not a whole number of 0 or more"),
        ("rate_limit_seconds", "0", "is not between 0 and a day"),
        ("base_url", "app.mode.com", "neither an http(s) address nor"),
        ("history_days", "999999", "999,999 is longer than a century; 0 means all"),
        ("query_run_days", "999999", "999,999 is longer than a century; 0 means all"),
        ("reread_hours", "99999999999", "is longer than a century"),
        ("base_url", "https://[app.mode.com/api", "neither an http(s) address nor"),
        ("base_url", "https://:443/api", "neither an http(s) address nor"),
        ("base_url", "https://a:b@app.mode.com/api", "holds credentials"),
        ("base_url", "a:b@app.mode.com/api", "holds credentials"),
        ("workspace", "https://app.mode.com/acme", "only its last part"),
        ("querry_run_days", "3", "did you mean query_run_days?"),
        ("signature_token", "t", "set all three or none"),
    ],
)
def test_a_mistyped_setting_is_named_with_what_it_may_be(monkeypatch, name, value, said):
    set_all(monkeypatch, **{"workspace": "acme", "username": "t", "password": "s", name: value})
    with pytest.raises(ModeConfigError) as raised:
        load_settings()
    assert name in str(raised.value)
    assert said in str(raised.value)


def test_several_mistakes_are_said_in_one_message(monkeypatch):
    set_all(monkeypatch, workspace="acme", listing="nope", rate_limit_requests="x")
    with pytest.raises(ModeConfigError) as raised:
        load_settings()
    assert all(name in str(raised.value) for name in ("listing", "rate_limit_requests", "username", "password"))


def test_the_sandbox_needs_no_credentials(monkeypatch):
    set_all(monkeypatch, base_url="sandbox")
    assert load_settings().is_sandbox


def test_credentials_do_not_lead_to_made_up_data(monkeypatch):
    set_all(monkeypatch, base_url="sandbox", workspace="acme", username="t", password="s")
    with pytest.raises(ModeConfigError, match="made-up workspace, which needs no username and password: set base_url"):
        load_settings()


def test_secrets_do_not_show_in_the_settings_repr():
    shown = repr(Settings(workspace="acme", username="tok-1", password="sec-2", signature_access_secret="sig-3"))
    assert "acme" in shown
    assert not any(secret in shown for secret in ("tok-1", "sec-2", "sig-3"))


@pytest.mark.parametrize(
    "name", ["SOURCES_MODE_ANALYTICS_SOURCE__WORKSPACE", "SOURCES__MODE_ANALYTIC_SOURCE__WORKSPACE"]
)
@pytest.mark.parametrize("rest", [{"base_url": "sandbox"}, {"username": "t", "password": "s"}])
def test_a_mistyped_section_of_the_environment_is_named(monkeypatch, name, rest):
    monkeypatch.setenv(name, "acme")
    set_all(monkeypatch, **rest)
    with pytest.raises(ModeConfigError, match=f"{name}: no such setting; did you mean {ENV_PREFIX}<NAME>"):
        load_settings()


@pytest.mark.parametrize(
    "section", ["sources.mode_analytic_source", "source.mode_analytics_source", "mode_analytics_source"]
)
def test_a_mistyped_section_of_a_file_is_named(dlt_files, section):
    dlt_files(secrets=f'[{section}]\nworkspace = "acme"\n')
    with pytest.raises(ModeConfigError, match=rf"\[{section}\]: no such setting; did you mean"):
        load_settings()


def test_another_source_of_dlt_is_nobodys_mistake(monkeypatch):
    monkeypatch.setenv("SOURCES__GOOGLE_ANALYTICS_SOURCE__WORKSPACE", "acme")
    set_all(monkeypatch, base_url="sandbox")
    assert load_settings().is_sandbox


def test_every_setting_is_read_somewhere():
    package = Path(mode_dagster.__file__).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py") if path.name != "settings.py")
    names = [setting.name for kind in (Settings, Operation) for setting in fields(kind)]
    unread = [name for name in names if not re.search(rf"\b{name}\b", code)]
    assert unread == ["signature_access_key", "signature_access_secret"], "put together by SIGNATURE in client.py"
