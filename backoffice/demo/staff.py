from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """One person the development identity provider lets you sign in as."""

    sub: str
    username: str
    name: str
    given_name: str
    family_name: str
    email: str
    department: str
    title: str
    groups: tuple[str, ...]
    locale: str


STAFF = (
    DemoPerson(
        sub="demo-1001",
        username="seoyeon.kim",
        name="김서연",
        given_name="서연",
        family_name="김",
        email="seoyeon.kim@example.com",
        department="정보보안팀",
        title="보안 관리자",
        groups=("staff", "security-admins"),
        locale="ko-KR",
    ),
    DemoPerson(
        sub="demo-1002",
        username="grace.miller",
        name="Grace Miller",
        given_name="Grace",
        family_name="Miller",
        email="grace.miller@example.com",
        department="Customer Support",
        title="Support Lead",
        groups=("staff", "support", "operations"),
        locale="en-GB",
    ),
    DemoPerson(
        sub="demo-1003",
        username="jihoon.park",
        name="박지훈",
        given_name="지훈",
        family_name="박",
        email="jihoon.park@example.com",
        department="고객지원팀",
        title="상담원",
        groups=("staff", "support"),
        locale="ko-KR",
    ),
    DemoPerson(
        sub="demo-1004",
        username="doyun.lee",
        name="이도윤",
        given_name="도윤",
        family_name="이",
        email="doyun.lee@example.com",
        department="운영팀",
        title="물류 운영 매니저",
        groups=("staff", "operations"),
        locale="ko-KR",
    ),
    DemoPerson(
        sub="demo-1005",
        username="amara.okafor",
        name="Amara Okafor",
        given_name="Amara",
        family_name="Okafor",
        email="amara.okafor@example.com",
        department="Finance",
        title="Financial Controller",
        groups=("staff", "finance"),
        locale="en-US",
    ),
    DemoPerson(
        sub="demo-1006",
        username="haeun.choi",
        name="최하은",
        given_name="하은",
        family_name="최",
        email="haeun.choi@example.com",
        department="경영지원실",
        title="인턴",
        groups=("staff",),
        locale="ko-KR",
    ),
    DemoPerson(
        sub="demo-1007",
        username="tomas.becker",
        name="Tomás Becker",
        given_name="Tomás",
        family_name="Becker",
        email="tomas.becker@example.com",
        department="External",
        title="Contractor",
        groups=("contractors",),
        locale="en-US",
    ),
)
