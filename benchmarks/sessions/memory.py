from __future__ import annotations

import json
from dataclasses import replace

import redis

from accounts import keys
from accounts.sessions import clock
from accounts.sessions.index import Order
from accounts.sessions.record import Record
from benchmarks.sessions import crowd

SAMPLE = 400
ID_TOKEN_BYTES = 900
AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)


def used(observer: redis.Redis) -> int:
    """Bytes the server has in use."""
    return int(observer.info("memory")["used_memory"])


def per_session(observer: redis.Redis, size: int, before: int) -> dict[str, float]:
    """Bytes a session by where they are; the first entry is the sum of all."""
    total = (used(observer) - before) / size
    people = range(size // crowd.SESSIONS_EACH)
    step = max(1, len(people) // SAMPLE)
    some = people[::step]
    parts = {
        "value key": _mean(observer, [_value(person) for person in some]),
        **{f"index {order}": _share(observer, order, size) for order in Order},
        "index of the person": _mean(observer, [_person(person) for person in some])
        / crowd.SESSIONS_EACH,
        "index of the providers' sessions": _sum(observer, "bo:{i}:o:????") / size,
        "facts": _sum(observer, "bo:{i}:f:*") / size,
        "dictionaries of the facts": _sum(observer, "bo:{i}:w:*") / size,
    }
    rest = total - sum(parts.values())
    return {"all": total, **parts, "tables of keys and expiries": rest}


def value_sizes() -> list[tuple[str, int]]:
    """Bytes of sealed values with more and more of what a sign-in leaves in them."""
    record = crowd.record(0, clock.now())
    text = json.dumps(record.data["profile"], ensure_ascii=False, separators=(",", ":"))
    described = {
        "provider": "oidc",
        "sid": "sid-" + 32 * "0",
        "authenticated_at": int(record.began),
        "address": "203.0.113.200",
        "agent": AGENT,
    }
    django = {
        "_auth_user_id": "1234567",
        "_auth_user_backend": "accounts.sso.backend.StaffOpenIdConnect",
        "_auth_user_hash": 64 * "0",
    }
    full = {**record.data, **django, "sign_in": described}
    token = {**full, "sign_in": {**described, "id_token": ID_TOKEN_BYTES * "x"}}
    return [
        ("the profile's JSON", len(text.encode())),
        ("sealed, with the record around it", _sealed(record)),
        ("and address, agent, Django's own keys", _sealed(replace(record, data=full))),
        (
            f"and an ID token of {ID_TOKEN_BYTES} bytes",
            _sealed(replace(record, data=token)),
        ),
    ]


def _sealed(record: Record) -> int:
    return len(record.seal())


def _record(person: int) -> Record:
    return crowd.record(crowd.numbers_of(person)[-1], clock.now())


def _value(person: int) -> str:
    return _record(person).name


def _person(person: int) -> str:
    return keys.person(crowd.ISSUER, crowd.sub(person))


def _mean(observer: redis.Redis, names: list[str]) -> float:
    sizes = [observer.memory_usage(name, samples=0) or 0 for name in names]
    return sum(sizes) / len(sizes)


def _sum(observer: redis.Redis, pattern: str) -> float:
    names = list(observer.scan_iter(match=pattern, count=1000))
    pipeline = observer.pipeline(transaction=False)
    for name in names:
        pipeline.memory_usage(name, samples=0)
    return float(sum(size or 0 for size in pipeline.execute()))


def _share(observer: redis.Redis, order: Order, size: int) -> float:
    return (observer.memory_usage(order.value, samples=0) or 0) / size
