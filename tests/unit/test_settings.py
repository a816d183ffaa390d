import re
import secrets
from pathlib import Path

import pytest
from pydantic import ValidationError

from taskapi.settings import KUBERNETES_VARIABLE, PREFIX, Settings
from tests.server import ROOT

VARIABLES = sorted(PREFIX + name.upper() for name in Settings.model_fields)


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert settings.database_url == "sqlite:///taskapi.db"
    assert settings.access_token_lifetime == 900


def test_variables_override_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("TASKAPI_LOG_FORMAT=json\nTASKAPI_ACCESS_TOKEN_LIFETIME=60\nOTHER=1\n")
    monkeypatch.setenv("TASKAPI_ACCESS_TOKEN_LIFETIME", "120")
    settings = Settings()
    assert (settings.log_format, settings.access_token_lifetime) == ("json", 120)


def test_secret_files_are_the_fallback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "taskapi_database_url").write_text("postgresql://db/taskapi\n")
    (tmp_path / "taskapi_log_format").write_text("json")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    monkeypatch.setenv("TASKAPI_LOG_FORMAT", "text")
    settings = Settings()
    assert (settings.database_url, settings.log_format) == ("postgresql://db/taskapi", "text")


@pytest.mark.parametrize(
    "name", ["taskapi_secret_key", "TASKAPI_DATABSE_URL", "taskapi-log_format"]
)
def test_unknown_secret_files_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Failed: a misspelled file was ignored."""
    (tmp_path / name).write_text("x")
    (tmp_path / "postgres_password").write_text("x")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    with pytest.raises(ValidationError, match=f"{tmp_path}/{name} is not a file with the name"):
        Settings()


@pytest.mark.filterwarnings("ignore:attempted to load secret file")
def test_a_folder_in_place_of_a_secret_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "taskapi_secret_keys").mkdir()
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    with pytest.raises(ValidationError, match="taskapi_secret_keys is not a file"):
        Settings()


def test_a_byte_order_mark_is_not_part_of_a_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = secrets.token_hex(32)
    (tmp_path / "taskapi_secret_keys").write_text(f"\ufeff{key}\n", encoding="utf-8")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    Path(".env").write_text("\ufeffTASKAPI_LOG_FORMAT=json\n", encoding="utf-8")
    monkeypatch.setenv("taskapi_login_limit", " 5/minute\r")
    settings = Settings()
    assert [key.get_secret_value() for key in settings.secret_keys] == [key]
    assert (settings.log_format, settings.login_limit) == ("json", "5/minute")


def test_secret_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [secrets.token_hex(32), secrets.token_hex(32)]
    monkeypatch.setenv("TASKAPI_SECRET_KEYS", ", ".join([*keys, ""]))
    assert [key.get_secret_value() for key in Settings().secret_keys] == keys


def test_unknown_variables_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKAPI_DATABSE_URL", "x")
    with pytest.raises(ValidationError, match="no such setting: TASKAPI_DATABSE_URL"):
        Settings()


KUBERNETES = {
    "TASKAPI_PORT": "tcp://10.0.0.1:8000",
    "TASKAPI_SERVICE_HOST": "10.0.0.1",
    "TASKAPI_SERVICE_PORT": "8000",
    "TASKAPI_SERVICE_PORT_HTTP": "8000",
    "TASKAPI_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "TASKAPI_PORT_8000_TCP_PROTO": "tcp",
    "TASKAPI_PORT_8000_TCP_PORT": "8000",
    "TASKAPI_PORT_8000_TCP_ADDR": "10.0.0.1",
}


def test_the_variables_of_a_kubernetes_service_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.replace("TASKAPI_", "TASKAPI_ADMIN_"), value)
    assert Settings() == Settings.model_construct()
    assert not any(KUBERNETES_VARIABLE.fullmatch(f"{name}=tcp://x") for name in VARIABLES)


@pytest.mark.parametrize("name", ["TASKAPI_PORT", "TASKAPI_PORTS", "taskapi_databse_url"])
def test_variables_that_only_look_like_those_of_kubernetes_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "8000")
    with pytest.raises(ValidationError, match=f"no such setting: {name}"):
        Settings()


def test_unknown_settings_in_the_env_file_are_refused() -> None:
    Path(".env").write_text("TASKAPI_SECRET_KEY=x\n")
    with pytest.raises(ValidationError, match=r"secret_key\n +Extra inputs"):
        Settings()


def test_malformed_env_file_lines_are_refused() -> None:
    Path(".env").write_text("OTHER=1\n# TASKAPI_LOG_FORMAT\nTASKAPI_LOG_FORMAT='json\n")
    with pytest.raises(ValidationError, match=r"line 3 of \.env can't be read"):
        Settings()


def test_refused_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKAPI_SECRET_KEYS", "hunter2")
    with pytest.raises(ValidationError, match="openssl rand -hex 32") as refusal:
        Settings()
    assert "hunter2" not in str(refusal.value)


def test_settings_are_documented() -> None:
    named = re.findall(rf"{PREFIX}[A-Z_]+", (ROOT / "README.md").read_text())
    assert sorted(set(named)) == VARIABLES


def test_the_example_file_states_the_defaults() -> None:
    example = (ROOT / ".env.example").read_text()
    defaults = Settings()
    Path(".env").write_text(re.sub(r"(?m)^# ?(?=TASKAPI_)", "", example))
    assert Settings() == defaults
