from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from requests.certs import where

from backoffice.proxy.errors import AmbiguousPath, RouteTableError
from backoffice.proxy.paths import read_target
from backoffice.proxy.reload import current_routes, forget_routes
from backoffice.proxy.route_file import load_routes
from backoffice.proxy.route_values import READS, Identity
from backoffice.proxy.routes import Route, RouteTable
from tests.backoffice.proxy.conftest import KIM, LEE

FULL = """
[[route]]
name = "members"
upstream = "http://127.0.0.1:9001/v1/"
groups = ["support", "operations"]
methods = ["GET", "POST"]
connect_timeout = 1
read_timeout = 2.5
total_timeout = 3
max_body = 1024
identity = "none"

[[ route ]]  # the second
name = "open"
upstream = "https://[::1]:9002"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(RouteTableError) as caught:
        load_routes(write(tmp_path, text))
    return caught.value.problems


def test_a_table_is_read_with_all_its_keys(tmp_path: Path) -> None:
    table = load_routes(write(tmp_path, FULL))
    assert [route.name for route in table] == ["members", "open"]
    assert table.find("members") == Route(
        name="members",
        upstream="http://127.0.0.1:9001/v1",
        groups=frozenset({"support", "operations"}),
        methods=frozenset({"GET", "HEAD", "POST"}),
        connect_timeout=1.0,
        read_timeout=2.5,
        total_timeout=3.0,
        max_body=1024,
        identity=Identity.NONE,
    )


def test_what_is_left_out_has_a_safe_default(tmp_path: Path) -> None:
    route = load_routes(write(tmp_path, FULL)).find("open")
    assert route == Route(name="open", upstream="https://[::1]:9002")
    assert (route.methods, route.groups) == (READS, frozenset())
    assert (route.connect_timeout, route.read_timeout, route.total_timeout) == (
        2,
        30,
        60,
    )
    assert (route.max_body, route.identity) == (10 * 1024 * 1024, Identity.HEADERS)


def test_an_empty_file_is_an_empty_table(tmp_path: Path) -> None:
    table = load_routes(write(tmp_path, ""))
    assert len(table) == 0
    assert table.find("members") is None


def test_all_problems_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """
[[route]]
name = "Members"
upstream = "http://127.0.0.1/v1"
grups = ["support"]

[[route]]
upstream = "ftp://x"
methods = ["FOO"]

[[route]]
name = "a"
upstream = "http://h"
groups = []
"""
    found = problems(tmp_path, text)
    assert [problem.split(": ")[:2] for problem in found] == [
        ["routes.toml:3", "name"],
        ["routes.toml:5", "grups"],
        ["routes.toml:8", "upstream"],
        ["routes.toml:9", "methods"],
        ["routes.toml:7", "name"],
        ["routes.toml:14", "groups"],
    ]


def test_a_misspelt_key_is_refused_and_not_ignored(tmp_path: Path) -> None:
    text = '[[route]]\nname = "a"\nupstream = "http://h"\ngroup = ["x"]\n'
    assert problems(tmp_path, text) == (
        "routes.toml:4: group: unknown key; did you mean groups?",
    )


def test_a_second_route_of_one_name_is_refused(tmp_path: Path) -> None:
    one = '[[route]]\nname = "a"\nupstream = "http://h"\n'
    (problem,) = problems(tmp_path, one + one)
    assert problem == "routes.toml:5: name: 'a' is taken by another route"


def test_a_missing_upstream_is_named_at_its_route(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, '\n[[route]]\nname = "a"\n')
    assert problem == "routes.toml:2: upstream: is missing"


@pytest.mark.parametrize("table", ["[routes]", "[[routes]]", "x = 1\n[y]"])
def test_another_table_is_refused(tmp_path: Path, table: str) -> None:
    assert problems(tmp_path, table)[0].endswith("unknown key; write [[route]]")


def test_a_single_bracket_is_explained(tmp_path: Path) -> None:
    assert problems(tmp_path, '[route]\nname = "a"') == (
        "routes.toml:1: write [[route]]",
    )


def test_a_list_that_holds_no_tables_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, "route = [1, 'x']")
    assert found == tuple(
        f"routes.toml: route {number}: route: must be a table" for number in (1, 2)
    )


def test_inline_routes_are_read_too(tmp_path: Path) -> None:
    path = write(tmp_path, 'route = [{name = "a", upstream = "http://h"}]')
    assert load_routes(path).find("a") is not None


def test_broken_toml_says_where(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, '[[route]]\nname = a"')
    assert problem.startswith("routes.toml: ")
    assert "line 2" in problem


def test_a_missing_file_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(RouteTableError, match=r"absent\.toml"):
        load_routes(tmp_path / "absent.toml")


def test_a_file_in_another_encoding_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_bytes(b'[[route]]\nname = "\xff"')
    with pytest.raises(RouteTableError, match="utf-8"):
        load_routes(path)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000 + "]" * 3000])
def test_a_file_without_measure_is_one_problem(tmp_path: Path, value: str) -> None:
    text = f'[[route]]\nname = "a"\nupstream = "http://h"\nmax_body = {value}'
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("routes.toml: ")


def test_a_folder_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(RouteTableError, match="directory"):
        load_routes(tmp_path)


def test_what_editors_of_other_systems_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert [route.place for route in load_routes(path)] == [
        "routes.toml:2",
        "routes.toml:13",
    ]


def test_without_a_file_no_route_exists(settings: Settings) -> None:
    settings.ROUTES_FILE = None
    assert len(current_routes()) == 0


def test_the_current_table_is_read_once(routes: Path) -> None:
    first = current_routes()
    routes.write_text("", encoding="utf-8")
    assert current_routes() is first
    forget_routes()
    assert len(current_routes()) == 0


def test_another_file_is_another_table(
    routes: Path, tmp_path: Path, settings: Settings
) -> None:
    assert current_routes().find("members")
    other = tmp_path / "other.toml"
    other.write_text('[[route]]\nname = "x"\nupstream = "http://h"')
    settings.ROUTES_FILE = other
    assert current_routes().find("members") is None


def test_a_broken_table_stays_broken(routes: Path) -> None:
    routes.write_text("?", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(RouteTableError):
            current_routes()


def test_a_person_sees_only_their_routes() -> None:
    table = RouteTable(
        [
            Route("all", "http://h"),
            Route("support", "http://h", groups=frozenset({"support", "x"})),
            Route("finance", "http://h", groups=frozenset({"finance"})),
        ]
    )
    assert [route.name for route in table.routes_for(KIM)] == ["all", "support"]
    assert [route.name for route in table.routes_for(LEE)] == ["all", "finance"]


def test_a_route_says_what_it_allows() -> None:
    assert Route("a", "http://h").allow == "GET, HEAD"


def match(table: RouteTable, target: str) -> tuple[str, str] | None:
    found = table.match(read_target(f"/api/proxy/{target}", "h"))
    return (found[0].name, found[1]) if found else None


NESTED = RouteTable(
    [
        Route("crm", "http://h"),
        Route("admin", "http://h", prefix="crm/admin"),
        Route("deep", "http://h", prefix="other/v2"),
    ]
)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("crm", ("crm", "")),
        ("crm/", ("crm", "/")),
        ("crm?x=1", ("crm", "?x=1")),
        ("crm/42?x=/admin", ("crm", "/42?x=/admin")),
        ("crm/admin", ("admin", "")),
        ("crm/admin/42?x", ("admin", "/42?x")),
        ("crm/administer", ("crm", "/administer")),
        ("crm/x/admin", ("crm", "/x/admin")),
        ("other/v2/a", ("deep", "/a")),
        ("other", None),
        ("other/v1", None),
        ("admin", None),
        ("deep", None),
        ("", None),
        ("crm2", None),
    ],
)
def test_the_longest_prefix_decides(target: str, found: tuple[str, str] | None) -> None:
    assert match(NESTED, target) == found


@pytest.mark.parametrize(
    "target",
    [
        "crm/%61dmin",
        "crm/%2561dmin/x",
        "crm/Admin",
        "crm/ADMIN/x",
        "crm/admin;v=1/x",
        "crm/admin%3bx",
        "crm/admin%20/x",
        "crm/%EF%BD%81dmin",
        "crm%2Fadmin",
        "crm/admin%2Fx",
    ],
)
def test_no_other_spelling_walks_around_a_longer_prefix(target: str) -> None:
    with pytest.raises(AmbiguousPath):
        match(NESTED, target)


def test_a_second_route_of_one_prefix_is_refused(tmp_path: Path) -> None:
    one = '[[route]]\nname = "a"\nupstream = "http://h"\n'
    two = '[[route]]\nname = "b"\nprefix = "a"\nupstream = "http://h"\n'
    assert problems(tmp_path, one + two) == (
        "routes.toml:6: prefix: 'a' is taken by another route",
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('write_groups = ["x"]', "write_groups: methods names none that writes"),
        ("writes = true", "writes: methods names none that writes"),
        ('methods = ["PUT"]\nwrites = false', "writes: leaves no method"),
        ('audience = "x"', 'audience: needs identity = "token"'),
        (f'ca_file = "{where()}"', "ca_file: needs an https upstream"),
    ],
)
def test_a_contradiction_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    head = f'[[route]]\nname = "a"\nupstream = "http://h"\n{lines}'
    (found,) = problems(tmp_path, head)
    assert found.endswith(problem)


def test_writes_can_be_switched_off_without_losing_the_list(tmp_path: Path) -> None:
    text = '[[route]]\nname = "a"\nupstream = "http://h"\nmethods = ["GET", "PUT"]\n'
    path = write(tmp_path, f"{text}writes = false")
    assert [route.methods for route in load_routes(path)] == [READS]


def test_a_route_knows_its_line(tmp_path: Path) -> None:
    table = load_routes(write(tmp_path, FULL))
    assert [route.place for route in table] == ["routes.toml:2", "routes.toml:13"]
    (members, _) = table
    assert members.place_of("groups") == "routes.toml:5"
    assert members.place_of("cache") == "routes.toml:2"


def test_a_unix_socket_is_an_address() -> None:
    for text in ("unix:/run/a.sock:/v1", "http+unix://%2Frun%2Fa.sock/v1"):
        address = Route("a", text).address
        assert (address.socket, address.mount) == ("/run/a.sock", "/v1")
        assert (address.scheme, address.server) == ("http", "localhost")
