"""Credentials in addresses, messages and variables."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from sa_study.utils.text import holds_secret, redact

_ODBC = "mssql+pyodbc://host/db?odbc_connect=DRIVER%3DX%3BUID%3Dme%3B"


@pytest.mark.parametrize(
    "address",
    [
        "mssql+pyodbc://host/db?UID=me&PWD=hunter2",
        f"{_ODBC}PWD%3Dhunter2",
        "https://host/#access_token=hunter2",
        "https://me:hunter2@host",
    ],
)
def test_an_address_with_a_secret_is_known_and_shown_without(address: str) -> None:
    assert holds_secret(urlsplit(address))
    assert "hunter2" not in redact(address)


@pytest.mark.parametrize("address", [f"{_ODBC}Trusted_Connection%3Dyes", "s3://b/x?region=eu&scheme=http"])
def test_an_address_without_a_secret_stays_as_it_is(address: str) -> None:
    assert not holds_secret(urlsplit(address))
    assert redact(address) == address


def test_a_variable_with_a_password_is_hidden_and_the_current_folder_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DB_PWD", "hunter2hunter2")
    for name in ("PWD", "OLDPWD"):
        monkeypatch.setenv(name, "/home/me/studies")
    assert redact("/home/me/studies has hunter2hunter2") == "/home/me/studies has ***"
