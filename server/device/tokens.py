"""The tokens of whoever signed in. They are in the store and nowhere else, so what is used is sure not to be lost."""

from dataclasses import dataclass

from server.device.store import Store


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The access token, None where nobody is signed in, and the refresh token, None where there is none to renew it."""

    store: Store

    def access(self) -> str | None:
        token: str | None = self.store.get("token")
        return token

    def refresh(self) -> str | None:
        token: str | None = self.store.get("refresh_token")
        return token

    def sign_in(self, user_id: str, access: str, refresh: str | None) -> None:
        self.store.set(token=access, refresh_token=refresh, user_id=user_id)

    def sign_out(self) -> None:
        self.store.set(token=None, refresh_token=None)

    def renew(self, replaced: str, access: str, refresh: str) -> None:
        """Keeps the tokens that came for `replaced`, unless somebody signed in or out meanwhile."""
        with self.store.transaction():
            if self.access() == replaced:
                self.store.set(token=access, refresh_token=refresh)
