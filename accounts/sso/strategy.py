from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from social_core.exceptions import AuthConfigurationError
from social_django.strategy import DjangoStrategy

from accounts.request import StaffRequest
from accounts.sso import providers
from accounts.sso.backend import StaffOpenIdConnect
from accounts.sso.destination import own_path
from accounts.sso.pending import PendingSignIns


class SiteStrategy(DjangoStrategy):
    """social-auth, held to what this site knows about itself.

    Addresses are built from SITE_URL and not from the request's Host header, and the
    place to return to is one of our own paths or nothing. What a sign-in needs to
    remember is kept in the live session if there is one, and by the browser otherwise.
    """

    def session_get(self, name: str, default: Any = None) -> Any:
        return self._kept.get(name, default)

    def session_set(self, name: str, value: Any) -> None:
        self._kept[name] = value

    def session_pop(self, name: str) -> Any:
        return self._kept.pop(name, None)

    def session_setdefault(self, name: str, value: Any) -> Any:
        return self._kept.setdefault(name, value)

    @property
    def _kept(self) -> MutableMapping[str, Any]:
        request = cast("StaffRequest", self.request)
        record = request.session.record
        if record is not None and record.person:
            return cast("MutableMapping[str, Any]", request.session)
        return PendingSignIns.of(request)

    def get_backend(
        self, name: str, redirect_uri: str | None = None, **kwargs: Any
    ) -> StaffOpenIdConnect:
        """The provider of this name. Raises AuthConfigurationError if there is none."""
        provider = providers.named(name)
        if provider is None:
            raise AuthConfigurationError(
                None, name, code="backend_missing", parameter="backend"
            )
        return StaffOpenIdConnect(self, redirect_uri, provider)

    def build_absolute_uri(self, path: str | None = None) -> str:
        return urljoin(f"{settings.SITE_URL}/", path or "")

    def request_host(self) -> str:
        return urlsplit(settings.SITE_URL).netloc

    def get_request_data(self, merge: bool = True) -> Any:
        data = super().get_request_data(merge)
        if REDIRECT_FIELD_NAME not in data:
            return data
        data = data.copy()
        data[REDIRECT_FIELD_NAME] = own_path(data[REDIRECT_FIELD_NAME])
        return data
