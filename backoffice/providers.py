"""The identity providers that the environment names (docs/sso.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from accounts.sso.client_key import ClientKey
from accounts.sso.providers import FIRST, Provider, qualified
from backoffice.env import Environment

# Never `none`, and never HS256: its key is a secret that the provider shares with us.
ASYMMETRIC = {"EdDSA"} | {
    f"{k}{n}" for k in ("RS", "PS", "ES") for n in (256, 384, 512)
}
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def read(env: Environment) -> tuple[Provider, ...]:
    """The first provider, and those that OIDC_PROVIDERS adds, in their order."""
    found = tuple(_read(env, name) for name in (FIRST, *_further(env)))
    for position, each in enumerate(found):
        if each.issuer and each.issuer in {one.issuer for one in found[:position]}:
            # Which of the two a logout or an answer is about could not be told.
            env.problem(_name(each.name, "ISSUER"), "is another provider's, too")
    return found


def groups(
    env: Environment, providers: Iterable[Provider], setting: str
) -> frozenset[str]:
    """The groups that a setting lists, of all providers, as they stand in profiles."""
    return frozenset(
        qualified(each.name, group)
        for each in providers
        for group in env.names(_bare_name(each.name, setting))
    )


def _further(env: Environment) -> list[str]:
    names = env.names("OIDC_PROVIDERS")
    if FIRST in names or len(set(names)) != len(names):
        env.problem("OIDC_PROVIDERS", f"must name each once, and not {FIRST}")
    if not all(NAME.fullmatch(name) for name in names):
        env.problem(
            "OIDC_PROVIDERS",
            "must be names of small letters, digits and hyphens, a letter first",
        )
        return []
    return list(dict.fromkeys(name for name in names if name != FIRST))


def _read(env: Environment, name: str) -> Provider:
    issuer = env.web_address(_name(name, "ISSUER"))
    domains = _domains(env, _bare_name(name, "STAFF_DOMAINS"))
    staff = env.names(_bare_name(name, "STAFF_GROUPS"))
    if not staff and not domains:
        env.problem(
            _bare_name(name, "STAFF_GROUPS"),
            "is required: name the groups that may sign in "
            f"(or e-mail domains in {_bare_name(name, 'STAFF_DOMAINS')})",
        )
    return Provider(
        name=name,
        issuer=issuer,
        client_id=env.text(_name(name, "CLIENT_ID")),
        **_client(env, name),
        label=env.text(_name(name, "LABEL"), urlsplit(issuer).hostname or name),
        scopes=_words(env, _name(name, "SCOPES")),
        groups_claim=env.text(_name(name, "GROUPS_CLAIM"), "groups"),
        **_groups_as_string(env, name),
        needs_groups=any(
            env.names(_bare_name(name, f"{kind}_GROUPS"))
            for kind in ("STAFF", "ADMIN", "OPERATOR", "AUDITOR")
        ),
        staff_domains=domains,
        profile_url=env.web_address(_bare_name(name, "PROFILE_URL"), ""),
        algorithms=_algorithms(env, _name(name, "ALGORITHMS")),
        trusted_audiences=frozenset(env.names(_name(name, "TRUSTED_AUDIENCES"))),
        max_age=_max_age(env, _name(name, "MAX_AGE")),
        acr_values=_words(env, _name(name, "ACR_VALUES")),
        proxy=env.text(_name(name, "PROXY"), ""),
        ca_file=_file(env, _name(name, "CA_FILE")),
        logout_accepts_plain_typ=env.boolean(
            _name(name, "LOGOUT_ACCEPTS_PLAIN_TYP"), False
        ),
        logout_accepts_no_exp=env.boolean(_name(name, "LOGOUT_ACCEPTS_NO_EXP"), False),
        logout_accepts_no_iss=env.boolean(_name(name, "LOGOUT_ACCEPTS_NO_ISS"), False),
        frontchannel_logout=env.boolean(_name(name, "FRONTCHANNEL_LOGOUT"), False),
        renew_seconds=env.seconds(_name(name, "RENEW_SECONDS"), 15 * 60, lowest=0),
    )


def _name(name: str, setting: str) -> str:
    further = "" if name == FIRST else f"{name.upper().replace('-', '_')}_"
    return f"OIDC_{further}{setting}"


def _bare_name(name: str, setting: str) -> str:
    """For what the first provider calls by a name without OIDC_."""
    return setting if name == FIRST else _name(name, setting)


def _client(env: Environment, name: str) -> dict[str, Any]:
    """How the provider knows us: by a key, or by a secret and then by that alone."""
    setting, of_key = _name(name, "CLIENT_SECRET"), _name(name, "CLIENT_KEY")
    pem = env.text(of_key, "")
    if not pem:
        return {"client_secret": env.text(setting)}
    if env.text(setting, ""):
        env.problem(setting, f"must not be given beside {of_key}")
    found = {
        "client_secret": "",
        "client_audience": env.text(_name(name, "CLIENT_AUDIENCE"), ""),
    }
    try:
        key = ClientKey.read(pem, env.text(_name(name, "CLIENT_KEY_ID"), ""))
    except ValueError as error:
        env.problem(of_key, str(error))
        return found
    return {**found, "client_key": key}


def _groups_as_string(env: Environment, name: str) -> dict[str, Any]:
    """Whether the groups claim may be a string, and what divides it."""
    switch = _name(name, "GROUPS_STRING")
    setting = _name(name, "GROUPS_SEPARATOR")
    found = {
        "groups_string": env.boolean(switch, False),
        "groups_separator": env.text(setting, "").strip(),
    }
    if found["groups_separator"] and not found["groups_string"]:
        env.problem(setting, f"needs {switch}=true")
    return found


def _words(env: Environment, name: str) -> tuple[str, ...]:
    return tuple(env.text(name, "").replace(",", " ").split())


def _domains(env: Environment, name: str) -> frozenset[str]:
    domains = frozenset(domain.lower() for domain in env.names(name))
    if any("@" in domain or "*" in domain or "." not in domain for domain in domains):
        env.problem(name, "must be whole domains, as in example.com")
    return domains


def _algorithms(env: Environment, name: str) -> tuple[str, ...]:
    algorithms = tuple(env.names(name, "RS256"))
    if not set(algorithms) <= ASYMMETRIC:
        env.problem(name, f"must be among {' '.join(sorted(ASYMMETRIC))}")
    return algorithms


def _max_age(env: Environment, name: str) -> int | None:
    return env.seconds(name, 1) if env.text(name, "") else None


def _file(env: Environment, name: str) -> str:
    path = env.path(name)
    if path is not None and not path.is_file():
        env.problem(name, f"is no file: {str(path)!r}")
    return str(path) if path else ""
