import pytest

from server.kit.secret_keys import is_secret_key


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Passwd",
        "secret",
        "clientSecret",
        "client_secret",
        "CLIENT-SECRET",
        "apiKey",
        "api_key",
        "OPENFN_API_KEY",
        "token",
        "accessToken",
        "refresh token",
        "privateKey",
        "private.key",
        "credentials",
        "smtpPassword2",
        "tokens",
        "Authorization",
        "X-Auth-User",
        "sessionKey",
        "pin",
    ],
)
def test_key_of_a_secret_is_recognised_however_it_is_written(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key", ["url", "tokenUrl", "token_endpoint", "clientId", "publicKey", "username", "secretary", "pinned", "", "名前"]
)
def test_other_keys_are_not_secret(key: str) -> None:
    assert not is_secret_key(key)
