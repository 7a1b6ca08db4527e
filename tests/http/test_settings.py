"""Settings: every variable under both names, addresses as people paste them, and errors that say what to do."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import certifi
import pytest

from masumi_tools.errors import SettingsError
from masumi_tools.settings import VARIABLES, Secret, Settings

TOKEN = "masumi-payment-cm1234567890abcdefghijkl"
SAMPLES: dict[str, Any] = {
    "node_url": "http://localhost:3001/api/v1",
    "node_token": Secret(TOKEN),
    "registry_url": "https://registry.masumi.network/api/v1",
    "registry_token": Secret("registry-secret-1"),
    "network": "Mainnet",
    "database_url": "postgresql://user:pa55word@db.example/masumi",
    "agent_identifier": "ab" * 40,
    "seller_vkey": "cd" * 28,
    "most_bound_days": 30.0,
    "sandbox": True,
    "notify_url": "https://ntfy.example/mine",
    "notify_key": Secret("notify-secret-1"),
    "ca_bundle": certifi.where(),
}
TEXTS = {name: value.reveal() if isinstance(value, Secret) else value for name, value in SAMPLES.items()} | {
    "most_bound_days": "30",
    "sandbox": "1",
}


@pytest.mark.parametrize(
    ("setting", "variable"), [(setting, name) for setting, names in VARIABLES.items() for name in names]
)
def test_each_variable_sets_its_setting_and_nothing_else(setting: str, variable: str) -> None:
    settings = Settings.from_env({variable: TEXTS[setting]})
    assert getattr(settings, setting) == SAMPLES[setting]
    plain = Settings()
    for other in VARIABLES:
        if other not in (setting, "database_url"):
            assert getattr(settings, other) == getattr(plain, other)


@pytest.mark.parametrize("setting", [setting for setting, names in VARIABLES.items() if len(names) > 1])
def test_our_name_goes_before_the_kit_s_unless_it_is_empty(setting: str) -> None:
    ours, kit = VARIABLES[setting]
    other = {"network": "Preprod", "node_url": "http://other:1", "registry_url": "http://other:1"}
    value = other.get(setting, "0ther")
    chosen = getattr(Settings.from_env({ours: TEXTS[setting], kit: value}), setting)
    assert chosen == SAMPLES[setting]
    for empty in ("", "  ", '""'):
        assert getattr(Settings.from_env({ours: empty, kit: TEXTS[setting]}), setting) == SAMPLES[setting]


def test_the_environment_itself_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASUMI_NODE_URL", "http://localhost:3001")
    monkeypatch.setenv("NETWORK", "mainnet")
    settings = Settings.from_env()
    assert (settings.node_url, settings.network) == ("http://localhost:3001", "Mainnet")


def test_nothing_set_is_preprod_with_a_file_in_the_user_s_data_folder() -> None:
    settings = Settings.from_env({})
    assert settings == Settings()
    assert (settings.network, settings.sandbox, settings.node_url, settings.node_token) == (
        "Preprod",
        False,
        None,
        None,
    )
    assert settings.database_url.startswith("sqlite:////")
    assert settings.database_url.endswith("/masumi_tools/preprod.sqlite3")


def test_test_money_and_real_money_share_no_journal() -> None:
    urls = {
        Settings(network=network, sandbox=sandbox).database_url
        for network, sandbox in (("Preprod", False), ("Mainnet", False), ("Preprod", True))
    }
    assert len(urls) == 3


def test_the_default_journal_is_not_made_by_asking_for_it() -> None:
    folder = Path(Settings().database_url.removeprefix("sqlite:///")).parent
    assert not folder.exists()


@pytest.mark.parametrize(
    "text", [' "http://localhost:3001" ', "'http://localhost:3001'", "http://localhost:3001\n"]
)
def test_quotes_and_spaces_of_env_files_are_taken_off(text: str) -> None:
    assert Settings.from_env({"MASUMI_NODE_URL": text}).node_url == "http://localhost:3001"


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        *((text, True) for text in ("1", "true", "YES", "on")),
        *((text, False) for text in ("0", "False", "no", "off", "")),
    ],
)
def test_the_sandbox_switch_reads_yes_and_no(text: str, yes: bool) -> None:
    assert Settings.from_env({"MASUMI_SANDBOX": text}).sandbox is yes


@pytest.mark.parametrize(
    ("pasted", "api"),
    [
        ("http://localhost:3001", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api/v1", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api/v1/", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api/v1//", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api/", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/admin", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/admin/", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/admin/settings?tab=keys", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/docs", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/docs/#/purchase/post_purchase", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api/docs", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api-docs", "http://localhost:3001/api/v1"),
        ("http://localhost:3001/api/v1/health", "http://localhost:3001/api/v1"),
        ("HTTPS://Node.Example", "https://Node.Example/api/v1"),
        ("https://node.example/masumi/api/v1", "https://node.example/masumi/api/v1"),
        ("https://node.example/masumi/admin", "https://node.example/masumi/api/v1"),
        ("https://node.example/docserver", "https://node.example/docserver/api/v1"),
        ("http://[::1]:3001/", "http://[::1]:3001/api/v1"),
        ("http://127.0.0.1:1/registry/api/v1", "http://127.0.0.1:1/registry/api/v1"),
    ],
)
def test_an_address_works_as_it_was_pasted(pasted: str, api: str) -> None:
    settings = Settings(node_url=pasted, registry_url=pasted)
    assert (settings.node_api, settings.registry_api) == (api, api)
    assert Settings(node_url=api).node_api == api


WRONG = [
    ("node_url", "localhost:3001", "http://localhost:3001/api/v1"),
    ("node_url", "ftp://localhost", "must begin with http:// or https://"),
    ("node_url", "http://", "a host"),
    ("node_url", "http://local host:3001", "a space"),
    ("node_url", "http://localhost:99999", "host and port"),
    ("node_url", "http://localhost:port", "host and port"),
    ("node_url", "http://user:pa55word@localhost:3001", "no user name or password"),
    ("node_url", "http://localhost/\ud800", "half a character"),
    ("node_url", "http://[::1", "must begin with"),
    ("registry_url", "registry.masumi.network", "http://localhost:3000/api/v1"),
    ("node_token", "two words", "no key has"),
    ("node_token", "clé-secrète-1", "no key has"),
    ("registry_token", "line\nbreak", "no key has"),
    ("network", "Preview", "Preprod or Mainnet"),
    ("network", "bridge", "'bridge'"),
    ("database_url", "/home/me/masumi.db", "sqlite:///"),
    ("agent_identifier", "two words", "without spaces"),
    ("seller_vkey", "é", "without spaces"),
    ("sandbox", "maybe", "1 (yes) or 0 (no)"),
]


@pytest.mark.parametrize(("setting", "text", "says"), WRONG)
def test_a_wrong_value_is_one_sentence_that_names_the_variable(setting: str, text: str, says: str) -> None:
    for variable in VARIABLES[setting]:
        with pytest.raises(SettingsError) as caught:
            Settings.from_env({variable: text})
        assert str(caught.value).startswith(f"{variable} ") and says in str(caught.value)
        assert list(caught.value.field_errors) == [setting]
        assert (caught.value.fault, caught.value.money, caught.value.phase) == ("caller", "none", "settings")
    with pytest.raises(SettingsError) as caught:
        Settings(**{setting: text})
    assert str(caught.value).startswith(VARIABLES[setting][0])


@pytest.mark.parametrize("setting", ["node_token", "registry_token", "node_url"])
def test_a_wrong_secret_is_not_repeated_in_the_error(setting: str) -> None:
    text = "http://me:s3cr3t-w0rd@x" if setting == "node_url" else "s3cr3t w0rd"
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({VARIABLES[setting][0]: text})
    assert "s3cr3t" not in str(caught.value) + repr(caught.value) + str(caught.value.field_errors)


@pytest.mark.parametrize("value", [5, b"bytes", ["list"]])
@pytest.mark.parametrize(
    "setting", [name for name in VARIABLES if name not in ("sandbox", "most_bound_days")]
)
def test_a_value_that_is_no_text_is_a_settings_error(setting: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=VARIABLES[setting][0]):
        Settings(**{setting: value})


def test_what_is_missing_is_said_when_it_is_needed() -> None:
    settings = Settings()
    with pytest.raises(SettingsError, match=r"MASUMI_NODE_URL is not set.*http://localhost:3001/api/v1"):
        _ = settings.node_api
    with pytest.raises(SettingsError, match=r"MASUMI_REGISTRY_URL is not set"):
        _ = settings.registry_api


def test_settings_are_frozen_and_compared_by_value() -> None:
    settings = Settings(**SAMPLES)
    assert settings == Settings(**SAMPLES) and hash(settings) == hash(Settings(**SAMPLES))
    assert settings != dataclasses.replace(settings, node_token=Secret("another"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.network = "Preprod"  # type: ignore[misc]


def test_a_token_given_as_text_is_held_as_a_secret() -> None:
    settings = Settings(node_token=f" {TOKEN} ")  # type: ignore[arg-type]
    assert settings.node_token == Secret(TOKEN)
    assert Settings(node_token="").node_token is None  # type: ignore[arg-type]


# ---- the sandbox ----------------------------------------------------------------------------------------


def fake_sandbox(port: int = 4001) -> Any:
    origin = f"http://127.0.0.1:{port}"
    return SimpleNamespace(
        node_url=f"{origin}/api/v1", registry_url=f"{origin}/registry/api/v1", token="sandbox-token"
    )


def test_settings_of_a_sandbox_allow_loopback_and_have_its_token() -> None:
    settings = Settings.from_sandbox(fake_sandbox())
    assert settings.sandbox
    assert settings.node_api == "http://127.0.0.1:4001/api/v1"
    assert settings.registry_api == "http://127.0.0.1:4001/registry/api/v1"
    assert settings.node_token == settings.registry_token == Secret("sandbox-token")


def test_one_sandbox_has_one_journal_that_is_nobody_else_s() -> None:
    first, again = Settings.from_sandbox(fake_sandbox()), Settings.from_sandbox(fake_sandbox())
    other = Settings.from_sandbox(fake_sandbox(4002))
    assert first.database_url == again.database_url
    assert len({first.database_url, other.database_url, Settings().database_url}) == 3
    assert Path(first.database_url.removeprefix("sqlite:///")).parent.is_dir()
    assert Settings.from_sandbox(fake_sandbox(), database_url="sqlite://").database_url == "sqlite://"


# ---- secrets --------------------------------------------------------------------------------------------

HIDDEN = [TOKEN, "registry-secret-1", "pa55word"]


def assert_hidden(*texts: str) -> None:
    for text in texts:
        assert not [secret for secret in HIDDEN if secret in text], text


def test_no_text_of_settings_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(**SAMPLES)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("%s %r %s", settings, settings, settings.node_token)
    as_dict = dataclasses.asdict(settings)
    assert_hidden(
        repr(settings),
        str(settings),
        f"{settings}",
        f"{settings.node_token:>50}",
        caplog.text,
    )
    assert_hidden(repr(as_dict["node_token"]), json.dumps(as_dict["registry_token"], default=str))
    assert "****" in repr(settings) and "postgresql://****@db.example/masumi" in repr(settings)


def test_json_does_not_write_a_secret() -> None:
    with pytest.raises(TypeError):
        json.dumps(dataclasses.asdict(Settings(**SAMPLES)))
    with pytest.raises(TypeError):
        json.dumps(SAMPLES["node_token"])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_does_not_write_a_secret(protocol: int) -> None:
    for holder in (
        Settings(**SAMPLES),
        Settings(node_token=Secret(TOKEN)),
        Settings(database_url=SAMPLES["database_url"]),
        SAMPLES["node_token"],
        {"token": SAMPLES["node_token"]},
    ):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(holder, protocol)
    plain = Settings(node_url="http://localhost:3001", sandbox=True)
    assert pickle.loads(pickle.dumps(plain, protocol)) == plain


def test_copies_are_the_same_object() -> None:
    settings = Settings(**SAMPLES)
    assert copy.deepcopy({"settings": settings})["settings"] is settings
    assert copy.copy(settings) is settings
    assert copy.deepcopy(settings.node_token) is settings.node_token is copy.copy(settings.node_token)


def test_a_secret_is_known_by_its_text_and_shows_none() -> None:
    secret = Secret(TOKEN)
    assert secret == Secret(TOKEN) and secret != Secret("other") and hash(secret) == hash(Secret(TOKEN))
    assert secret != TOKEN and len({secret, Secret(TOKEN)}) == 1
    assert secret.reveal() == TOKEN
    assert_hidden(repr(secret), str(secret), f"{secret}", repr([secret]), str(vars(Secret)), str(dir(secret)))
    with pytest.raises(TypeError):
        vars(secret)
