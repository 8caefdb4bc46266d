"""The identity providers that may vouch for staff, each with a language of its own.

What one provider calls a group is that provider's word and nobody else's: a partner who
names a group `security-admins` must not make anybody one of ours. So a group of any
provider but the first is written `<provider>:<group>`, from the moment a profile is
made; in the profile, in the route table and in what an upstream is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from accounts.sso.claims import verified_domain
from accounts.sso.client_key import ClientKey

FIRST = "oidc"
GOOGLE = "https://accounts.google.com"
SEPARATOR = ":"
# As a separator in a string of groups; settings are stripped of white space itself.
WHITE_SPACE = "space"


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider and this site's registration there (docs/settings.md).

    `name` stands in addresses and in sessions. `trusted_audiences` may stand beside us
    in `aud`. `max_age` is in seconds. `staff_domains` are in lower case. Every
    `renew_seconds` the provider is asked again about whoever is signed in; 0 is never.
    With `groups_string` the groups claim may be one string: a single group, or several
    with `groups_separator` between them; "space" is white space.
    With a `client_key` there is no `client_secret`; `client_audience` is what its
    signatures are made for where that is not the issuer.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    client_key: ClientKey | None = None
    client_audience: str = ""
    label: str = "SSO"
    scopes: tuple[str, ...] = ()
    groups_claim: str = "groups"
    groups_string: bool = False
    groups_separator: str = ""
    needs_groups: bool = True
    staff_domains: frozenset[str] = frozenset()
    profile_url: str = ""
    algorithms: tuple[str, ...] = ("RS256",)
    trusted_audiences: frozenset[str] = frozenset()
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()
    proxy: str = ""
    ca_file: str = ""
    logout_accepts_plain_typ: bool = False
    logout_accepts_no_exp: bool = False
    logout_accepts_no_iss: bool = False
    frontchannel_logout: bool = False
    renew_seconds: int = 0

    def with_groups_as_list(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """The claims with a string of groups as a list, if this provider may send one.

        A string without anything in it is a list of no groups.
        """
        said = claims.get(self.groups_claim)
        if not self.groups_string or not isinstance(said, str):
            return dict(claims)
        return {**claims, self.groups_claim: self._groups_in(said)}

    def _groups_in(self, text: str) -> list[str]:
        if self.groups_separator == WHITE_SPACE:
            return text.split()
        separator = self.groups_separator
        parts = text.split(separator) if separator else [text]
        return [part.strip() for part in parts if part.strip()]

    def has_domain_of(self, said: Mapping[str, Any]) -> bool:
        """Whether the claims speak of somebody with a verified address of ours.

        Google vouches for anybody's account, also for a private one that was made with
        an address of the company; `hd` says that the company manages it.
        """
        domain = verified_domain(said)
        is_managed = self.issuer != GOOGLE or said.get("hd") == domain
        return is_managed and domain in self.staff_domains

    def groups(self, said: Iterable[str]) -> tuple[str, ...]:
        """The groups as they stand in a profile; those nobody could read left out.

        Nor may the first provider speak in the name of another.
        """
        kept = [group for group in said if group.isprintable()]
        if self.name != FIRST:
            return tuple(qualified(self.name, group) for group in kept)
        others = {each.name for each in settings.PROVIDERS} - {FIRST}
        return tuple(g for g in kept if g.partition(SEPARATOR)[0] not in others)


def qualified(name: str, group: str) -> str:
    """The group of this provider as it stands in a profile."""
    return group if name == FIRST else f"{name}{SEPARATOR}{group}"


def named(name: object) -> Provider | None:
    return next((each for each in settings.PROVIDERS if each.name == name), None)


def of_issuer(issuer: object) -> Provider | None:
    """The provider whose issuer this is, to the letter."""
    return next((each for each in settings.PROVIDERS if each.issuer == issuer), None)
