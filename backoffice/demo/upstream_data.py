"""What the example upstream tells: made up, and the same at every start."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

MEMBER_COUNT = 208
ORDER_COUNT = 520
FIRST_DAY = date(2026, 10, 1)
DAYS = 31


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FAMILY_NAMES = words("김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권 황")
GIVEN_NAMES = words(
    "서연 민준 지우 도윤 하은 시우 수아 예준 지민 하준 서윤 주원 채원 지호 다은 건우"
)
FIRST_NAMES = words(
    "Olivia Noah Amelia Liam Zainab Mateo Ingrid Kofi Hannah Rafael Priya Tomasz "
    "Chloe Elias Mei Samuel"
)
LAST_NAMES = words(
    "Walker Okonkwo Larsen Moreau Ferreira Novak Haddad Bauer Singh Rossi Tanaka "
    "Murphy Kowalski Silva Andersson Reid"
)
KOREAN_CITIES = words("서울 부산 인천 대구 대전 광주 수원 제주")
ENGLISH_CITIES = words("London Dublin Toronto Sydney Leeds Boston Auckland Cork")
PLANS = ("basic", "plus", "pro")
MEMBER_STATES = ("active", "active", "active", "dormant", "suspended")
ORDER_STATES = ("paid", "packed", "shipped", "delivered", "delivered", "returned")
GOODS = (
    ("무선 키보드", 59_000),
    ("Desk lamp", 42_000),
    ("사무용 의자", 238_000),
    ("Noise-cancelling headphones", 319_000),
    ("텀블러 500ml", 24_000),
    ("27-inch monitor", 389_000),
    ("모니터 받침대", 35_000),
)


@dataclass(frozen=True, slots=True)
class Member:
    id: str
    name: str
    email: str
    language: str
    city: str
    plan: str
    state: str
    joined: str


@dataclass(frozen=True, slots=True)
class Order:
    id: str
    member: str
    day: str
    goods: str
    quantity: int
    total_krw: int
    state: str


def member(number: int) -> Member:
    """The member of this number; every second one is Korean."""
    korean = number % 2 == 0
    turn, step = divmod(number // 2, 16)
    if korean:
        name = FAMILY_NAMES[step] + GIVEN_NAMES[(step + turn * 5) % 16]
        city = KOREAN_CITIES[(step + turn) % 8]
    else:
        name = f"{FIRST_NAMES[step]} {LAST_NAMES[(step + turn * 5) % 16]}"
        city = ENGLISH_CITIES[(step + turn) % 8]
    return Member(
        id=f"M-{1001 + number}",
        name=name,
        email=f"member{1001 + number}@example.com",
        language="ko" if korean else "en",
        city=city,
        plan=PLANS[number * 7 % 3],
        state=MEMBER_STATES[number * 3 % 5],
        joined=(FIRST_DAY - timedelta(days=number * 11 % 1500)).isoformat(),
    )


def order(number: int) -> Order:
    goods, price = GOODS[number * 5 % len(GOODS)]
    quantity = 1 + number * 3 % 4
    return Order(
        id=f"O-{50001 + number}",
        member=f"M-{1001 + number * 17 % MEMBER_COUNT}",
        day=(FIRST_DAY + timedelta(days=number * DAYS // ORDER_COUNT)).isoformat(),
        goods=goods,
        quantity=quantity,
        total_krw=price * quantity,
        state=ORDER_STATES[number * 7 % len(ORDER_STATES)],
    )


MEMBERS = {each.id: each for each in map(member, range(MEMBER_COUNT))}
ORDERS = {each.id: each for each in map(order, range(ORDER_COUNT))}


def found_members(text: str) -> list[dict[str, Any]]:
    """The members whose id, name, e-mail or city contains the text."""
    wanted = text.casefold()
    return [
        asdict(each)
        for each in MEMBERS.values()
        if wanted in f"{each.id} {each.name} {each.email} {each.city}".casefold()
    ]


def found_orders(text: str) -> list[dict[str, Any]]:
    """The orders whose id, member, goods or state contains the text; newest first."""
    wanted = text.casefold()
    return [
        asdict(each)
        for each in reversed(ORDERS.values())
        if wanted in f"{each.id} {each.member} {each.goods} {each.state}".casefold()
    ]


def daily_report() -> list[dict[str, Any]]:
    """Orders, returns and revenue of each day."""
    days = []
    for day, group in groupby(ORDERS.values(), key=lambda each: each.day):
        orders = list(group)
        kept = [each for each in orders if each.state != "returned"]
        days.append(
            {
                "day": day,
                "orders": len(orders),
                "returned": len(orders) - len(kept),
                "revenue_krw": sum(each.total_krw for each in kept),
            }
        )
    return days


class Notes:
    """What staff wrote about members; gone when the upstream ends."""

    PER_MEMBER = 50

    def __init__(self) -> None:
        self._notes: dict[str, list[dict[str, str]]] = defaultdict(list)
        self._count = 0

    def of(self, member_id: str) -> list[dict[str, str]]:
        return list(self._notes[member_id])

    def add(self, member_id: str, text: str, author: str) -> dict[str, str]:
        """Keep a note, and forget the member's oldest when there are too many."""
        self._count += 1
        note = {"id": f"N-{self._count}", "text": text, "author": author}
        notes = self._notes[member_id]
        notes.append(note)
        del notes[: -self.PER_MEMBER]
        return note
