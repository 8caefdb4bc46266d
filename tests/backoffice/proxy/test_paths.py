from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.proxy.errors import AmbiguousPath
from backoffice.proxy.paths import PREFIX, ProxyPath, is_proxy_path, read_target

HOST = "site.example"

PLAIN = {
    "/api/proxy/members": ProxyPath("members", ""),
    "/api/proxy/members/": ProxyPath("members", "/"),
    "/api/proxy/members?x=1": ProxyPath("members", "?x=1"),
    "/api/proxy/members/42?x=1&y=%zz": ProxyPath("members", "/42?x=1&y=%zz"),
    "/api/proxy/members/a%2Fb": ProxyPath("members", "/a%2Fb"),
    "/api/proxy/members/a;v=1/b": ProxyPath("members", "/a;v=1/b"),
    "/api/proxy/members/%EA%B9%80": ProxyPath("members", "/%EA%B9%80"),
    "/api/proxy/members/100%25": ProxyPath("members", "/100%25"),
    "/api/proxy/members/a..b/.c": ProxyPath("members", "/a..b/.c"),
    "/api/proxy/members/[1]|^": ProxyPath("members", "/[1]|^"),
    "/api/proxy/members/@x:80": ProxyPath("members", "/@x:80"),
    "/api/proxy": ProxyPath("", ""),
    "/api/proxy/": ProxyPath("", ""),
    "http://site.example/api/proxy/members/1": ProxyPath("members", "/1"),
    "HTTPS://SITE.example/api/proxy/members/1": ProxyPath("members", "/1"),
}

AMBIGUOUS = [
    # dot segments
    "/api/proxy/members/../x",
    "/api/proxy/members/..",
    "/api/proxy/members/..?x",
    "/api/proxy/members/./x",
    "/api/proxy/members/%2e%2e/x",
    "/api/proxy/members/.%2E/x",
    "/api/proxy/members/%252e%252e/x",
    "/api/proxy/members/%25252e%25252e/x",
    "/api/proxy/members/%%32e%%32e/x",
    "/api/proxy/members/..%2fx",
    "/api/proxy/members/a%2f..%2f..%2fx",
    "/api/proxy/members/..%252fx",
    "/api/proxy/members/..;/x",
    "/api/proxy/members/..;a=b/x",
    "/api/proxy/members/.;/x",
    "/api/proxy/members/..%3b/x",
    "/api/proxy/members/%2e%2e%20/x",
    # other ways to say dot, slash and backslash
    "/api/proxy/members/%c0%ae%c0%ae/x",
    "/api/proxy/members/%e0%80%ae/x",
    "/api/proxy/members/%c0%af",
    "/api/proxy/members/%u002e%u002e/x",
    "/api/proxy/members/%EF%BC%8E%EF%BC%8E/x",
    "/api/proxy/members/%E2%80%A5/x",
    "/api/proxy/members/a%EF%BC%BCb",
    "/api/proxy/members/a\\b",
    "/api/proxy/members/a%5cb",
    "/api/proxy/members/a%255cb",
    # doubled slash
    "/api/proxy//members/x",
    "/api/proxy/members//x",
    "/api/proxy/members/x//",
    "/api/proxy/members/%2f",
    "/api/proxy/members/x%2f%2fy",
    # signs that have no place in a path
    "/api/proxy/members/%00",
    "/api/proxy/members/%2500",
    "/api/proxy/members/\x00",
    "/api/proxy/members/%0d%0aX:1",
    "/api/proxy/members/%7f",
    "/api/proxy/members/%C2%85",
    "/api/proxy/members/a b",
    "/api/proxy/members/a\tb",
    "/api/proxy/members/a\r\nX: 1",
    "/api/proxy/members/é",
    "/api/proxy/members/<x>",
    "/api/proxy/members/x#fragment",
    "/api/proxy/members/x?a#fragment",
    "/api/proxy/members/x?a b",
    "/api/proxy/members/x?é",
    # bad escapes
    "/api/proxy/members/%",
    "/api/proxy/members/%4",
    "/api/proxy/members/%zz",
    "/api/proxy/members/%ff",
    "/api/proxy/members/%ed%a0%80",
    "/api/proxy/members/" + "%25" * 3 + "252525252541",
    # another spelling of the prefix or of the route
    "/api%2Fproxy/members/x",
    "/%61pi/proxy/members/x",
    "/api/prox%79/members/x",
    "/api/proxy/%6dembers/x",
    "/api/proxy/members%2Fx",
    "/api/proxy%2fmembers",
    "/a/api/proxy/members/x",
    "/api/proxymembers",
    # other forms of a target
    "http://evil.example/api/proxy/members/x",
    "http://user@site.example/api/proxy/members/x",
    "http://site.example:81/api/proxy/members/x",
    "http:/api/proxy/members/x",
    "ftp://site.example/api/proxy/members/x",
    "http://site.example",
    "*",
    "",
    "api/proxy/members/x",
]

OTHER_SPELLINGS = [
    "//api/proxy/members",
    "/api//proxy/members",
    "/./api/proxy/members",
    "/x/../api/proxy/members",
    "/x/%2e%2e/api/proxy/members",
    "/api%2Fproxy/members",
    "/api%252Fproxy/members",
    "/%61pi/proxy/members",
    "/api\\proxy\\members",
    "/api%5cproxy/members",
    "/api;x=1/proxy/members",
    "/api/proxy",
    "/api/proxy;x/members",
    "/api/proxy%2fmembers",
]

NOT_OURS = [
    "/",
    "/sign-in/",
    "/api/",
    "/api/proxyx/y",
    "/admin/api/proxy/",
    "/apiproxy",
]


@pytest.mark.parametrize(("target", "path"), PLAIN.items())
def test_a_target_is_read_as_it_stands(target: str, path: ProxyPath) -> None:
    assert read_target(target, HOST) == path


@pytest.mark.parametrize("target", AMBIGUOUS)
def test_an_ambiguous_target_is_refused(target: str) -> None:
    with pytest.raises(AmbiguousPath):
        read_target(target, HOST)


@pytest.mark.parametrize("path", OTHER_SPELLINGS)
def test_every_spelling_of_the_prefix_is_ours_to_judge(path: str) -> None:
    assert is_proxy_path(path)


@pytest.mark.parametrize("path", NOT_OURS)
def test_other_paths_are_none_of_our_business(path: str) -> None:
    assert not is_proxy_path(path)


def test_a_path_that_cannot_be_decoded_is_ours_to_refuse() -> None:
    assert is_proxy_path("/x%ff")


@pytest.mark.parametrize(
    ("path", "decoded"),
    [
        (ProxyPath("members", "/a%20b/?x=%20"), "/api/proxy/members/a b"),
        (ProxyPath("members", ""), "/api/proxy/members"),
        (ProxyPath("", ""), "/api/proxy"),
    ],
)
def test_a_path_knows_what_the_server_made_of_it(path: ProxyPath, decoded: str) -> None:
    assert path.decoded() == decoded


hostile = st.text(
    st.sampled_from([*"./\\;%#?@: 2e2fF5cC0ae", "\x00", "％", "．", "é", "a"]),
    max_size=24,
)


@given(hostile)
def test_no_accepted_target_leaves_its_route_in_any_reading(rest: str) -> None:
    try:
        path = read_target(f"{PREFIX}/members/{rest}", HOST)
    except AmbiguousPath:
        return
    reading = path.suffix.partition("?")[0]
    for _ in range(6):
        assert not {".", ".."} & set(reading.replace("\\", "/").split("/"))
        assert "//" not in reading
        reading = unquote(reading)


@given(hostile)
def test_an_accepted_target_goes_out_byte_for_byte(rest: str) -> None:
    target = f"{PREFIX}/members/{rest}"
    try:
        path = read_target(target, HOST)
    except AmbiguousPath:
        return
    assert f"{PREFIX}/{path.route}{path.suffix}" == target


@given(hostile)
def test_whatever_is_accepted_was_ours_to_judge(rest: str) -> None:
    target = f"/{rest}"
    try:
        read_target(target, HOST)
    except AmbiguousPath:
        return
    assert is_proxy_path(target.partition("?")[0])


@given(st.text(st.characters(categories=["L", "N"]), min_size=1))
def test_names_in_any_script_pass(name: str) -> None:
    assert read_target(f"{PREFIX}/members/{quote(name)}", HOST).route == "members"
