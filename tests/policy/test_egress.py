# SPDX-License-Identifier: AGPL-3.0-or-later
"""Hosts have one form, addresses one purpose, and the owner's rules hold as written."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.policy.addresses import METADATA, kind_of
from haoya.policy.egress import Rules, idle, rule_of
from haoya.policy.hosts import Site, canonical, is_local_name, read, site_of

HERE = "127.0.0.1"
SPELLINGS = {
    "127.0.0.1": HERE,
    "127.1": HERE,
    "127.0.1": HERE,
    "2130706433": HERE,
    "017700000001": HERE,
    "0177.0.0.1": HERE,
    "0x7f.0.0.1": HERE,
    "0x7f000001": HERE,
    "0X7F.1": HERE,
    "127.0.0.1.": HERE,
    "127。0。0。1": HERE,
    "127．0．0．1": HERE,
    "１２７.0.0.1": HERE,
    "①②⑦.⓪.⓪.①": HERE,
    "%31%32%37.0.0.1": HERE,
    "127.0.0.%31": HERE,
    "%EF%BC%91%EF%BC%92%EF%BC%97.1": HERE,
    "127\u00ad.0.0.1": HERE,
    "0": "0.0.0.0",
    "0x": "0.0.0.0",
    "0xa9fea9fe": "169.254.169.254",
    "2852039166": "169.254.169.254",
    "0251.0376.0251.0376": "169.254.169.254",
    "[::1]": "::1",
    "[0:0:0:0:0:0:0:1]": "::1",
    "[::ffff:127.0.0.1]": "::ffff:7f00:1",
    "[::FFFF:7F00:0001]": "::ffff:7f00:1",
    "[64:ff9b::127.0.0.1]": "64:ff9b::7f00:1",
    "LOCALHOST": "localhost",
    "localhost.": "localhost",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ": "localhost",
    "loc%61lhost": "localhost",
    "ＥＸＡＭＰＬＥ.org": "example.org",
    "例子.中国": "xn--fsqu00a.xn--fiqs8s",
    "MÜLLER.de": "xn--mller-kva.de",
    "my_host.example.org": "my_host.example.org",
}
NO_HOSTS = [
    "",
    ".",
    "a..b",
    "-a.example",
    "127.0.0.1%00.example.org",
    "example.org%0d%0a",
    "example%2eorg%2f",
    "exam ple.org",
    "a\\b",
    "256.1.1.1",
    "1.2.3.4.5",
    "1.2.3.256",
    "0x100000000",
    "4294967296",
    "08.1.1.1",
    "127.0.0.0x1z.7",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1",
    "[1.2.3.4]",
    "[::ffff:0x7f.1]",
    "a" * 64 + ".org",
    ".".join(["a" * 60] * 5),
    "%ff.example.org",
    "%",
]


@pytest.mark.parametrize(("written", "meant"), SPELLINGS.items())
def test_every_spelling_of_a_host_has_one_form(written: str, meant: str) -> None:
    assert canonical(written) == meant
    assert canonical(canonical(written)) == meant


@pytest.mark.parametrize("written", NO_HOSTS)
def test_what_is_no_host_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(written)


BLOCKS = {
    "0.0.0.0/8": "special",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "private",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "special",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "special",
    "192.0.2.0/24": "special",
    "192.31.196.0/24": "special",
    "192.52.193.0/24": "special",
    "192.88.99.0/24": "special",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "special",
    "198.18.0.0/15": "special",
    "198.51.100.0/24": "special",
    "203.0.113.0/24": "special",
    "224.0.0.0/4": "special",
    "240.0.0.0/4": "special",
    "::/96": "special",
    "::1/128": "loopback",
    "::ffff:0:0/96": "special",
    "::ffff:0:0:0/96": "special",
    "64:ff9b::10.0.0.0/104": "private",
    "64:ff9b::127.0.0.0/104": "loopback",
    "64:ff9b:1::/48": "special",
    "100::/64": "special",
    "2001::/32": "special",
    "2001::/23": "special",
    "2001:db8::/32": "special",
    "2002::/16": "special",
    "3fff::/20": "special",
    "4000::/2": "special",
    "5f00::/16": "special",
    "fc00::/7": "private",
    "fe80::/10": "special",
    "fec0::/10": "special",
    "ff00::/8": "special",
    "2606:4700::5efe:0:0/96": "special",
}
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2400:3200::1",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize(("block", "kind"), BLOCKS.items())
def test_both_ends_of_every_special_block_are_known_as_such(block: str, kind: str) -> None:
    network = ip_network(block)
    ends = {network.network_address, network.broadcast_address} - METADATA
    if block == "::/96":
        ends = {ip_address("::"), ip_address("::2"), network.broadcast_address}
    assert {kind_of(end)[0] for end in ends} == {kind}
    assert all(kind_of(end)[1] for end in ends)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public_up_to_the_edges(address: str) -> None:
    assert kind_of(ip_address(address)) == ("public", "")


@pytest.mark.parametrize("address", sorted(METADATA, key=str), ids=str)
def test_metadata_of_clouds_is_known_even_where_it_looks_public(address: object) -> None:
    assert kind_of(ip_address(str(address)))[0] == "metadata"


@given(st.ip_addresses())
def test_nothing_is_public_that_python_calls_private_or_multicast(address: object) -> None:
    one = ip_address(str(address))
    if kind_of(one)[0] == "public" and one not in ip_network("64:ff9b::/96"):
        assert one.is_global and not one.is_multicast and not one.is_reserved


def test_an_address_is_read_to_its_origin() -> None:
    assert str(read("HTTPS://Example.ORG")) == "https://example.org"
    assert str(read("http://example.org:8080/a@b:c?d#e")) == "http://example.org:8080"
    assert str(read("http://[2606:4700::1]:80/")) == "http://[2606:4700::1]"
    assert read("https://EXAMPLE.org:443?q").port == 443


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org@127.0.0.1/",
        "http://127.0.0.1:80@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http:\\\\127.0.0.1/",
        "http:/127.0.0.1/",
        "http:127.0.0.1",
        "//127.0.0.1/",
        "http:///etc/passwd",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "ftp://example.org/",
        "http://exa\tmple.org/",
        "http://example.org\r\nHost: evil/",
        " http://example.org/",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://example.org:8o/",
        "http://example.org:-80/",
        "http://::1/",
        "http://[::1]80/",
        "http://[::1/",
        "javascript:alert(1)",
        "http://" + "a" * 9000,
        "",
    ],
)
def test_addresses_that_readers_disagree_about_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(url)


def rules(allow: str = "", deny: str = "") -> Rules:
    return Rules(allow=tuple(map(rule_of, allow.split())), deny=tuple(map(rule_of, deny.split())))


def refusal(laid: Rules, url: str, *answers: str) -> str:
    return laid.refusal(read(url), [ip_address(one) for one in answers])


def test_without_rules_only_public_addresses_at_usual_ports_may_be_asked() -> None:
    none = Rules()
    assert refusal(none, "https://example.org/", "93.184.215.14", "2606:4700::1") == ""
    assert refusal(none, "http://8.8.8.8/") == ""
    assert "not public" in refusal(none, "http://example.org/", "10.0.0.1")
    assert "port 8080" in refusal(none, "http://example.org:8080/", "93.184.215.14")
    assert "the owner may allow 10.0.0.1:80" in refusal(none, "http://10.0.0.1/")
    assert "[::1]:443" in refusal(none, "https://[::1]/")


def test_one_answer_that_is_not_public_refuses_all() -> None:
    answers = ("93.184.215.14", "2606:4700::1", "127.0.0.1")
    assert "127.0.0.1" in refusal(Rules(), "https://example.org/", *answers)


def test_an_address_allowed_with_a_port_is_allowed_only_there() -> None:
    laid = rules("192.168.1.5:8080")
    assert refusal(laid, "http://192.168.1.5:8080/") == ""
    assert refusal(laid, "http://nas.example:8080/", "192.168.1.5") == ""
    assert refusal(laid, "http://192.168.1.5/")
    assert refusal(laid, "http://192.168.1.6:8080/")
    assert refusal(laid, "http://nas.example:8080/", "192.168.1.5", "192.168.1.6")


def test_a_domain_is_allowed_below_itself_into_private_networks() -> None:
    laid = rules("*.corp.example")
    assert refusal(laid, "https://wiki.corp.example/", "10.1.2.3") == ""
    assert refusal(laid, "https://a.b.corp.example/", "fd12::1") == ""
    assert refusal(laid, "https://corp.example/", "10.1.2.3")
    assert refusal(laid, "https://evilcorp.example/", "10.1.2.3")
    assert refusal(laid, "https://wiki.corp.example:8443/", "10.1.2.3")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "100.100.100.200", "::1"])
def test_a_name_that_is_allowed_never_leads_to_this_machine_or_a_clouds_secrets(
    address: str,
) -> None:
    assert refusal(rules("wiki.corp.example"), "https://wiki.corp.example/", address)


def test_this_machine_is_allowed_by_its_address_or_as_localhost() -> None:
    assert refusal(rules("127.0.0.1:3000"), "http://app.example:3000/", "127.0.0.1") == ""
    assert refusal(rules("localhost:3000"), "http://localhost:3000/", "127.0.0.1", "::1") == ""
    assert refusal(rules("localhost:3000"), "http://localhost:3000/", "10.0.0.1") == ""
    assert refusal(rules("localhost:3000"), "http://other.example:3000/", "127.0.0.1")


def test_metadata_is_allowed_only_by_its_very_address() -> None:
    url = "http://169.254.169.254/latest"
    assert refusal(rules("169.254.0.0/16"), url)
    assert refusal(rules("169.254.0.0/16"), "http://169.254.1.1/") == ""
    assert refusal(rules("169.254.169.254"), url) == ""


def test_deny_holds_before_allow_and_before_public() -> None:
    laid = rules("10.0.0.0/8", "10.6.6.6 *.ads.example bad.example:443")
    assert refusal(laid, "http://10.6.6.5/") == ""
    assert "deny" in refusal(laid, "http://10.6.6.6/")
    assert "deny" in refusal(laid, "http://x.example/", "93.184.215.14", "10.6.6.6")
    assert "deny" in refusal(laid, "http://t.ads.example/", "93.184.215.14")
    assert "deny" in refusal(laid, "https://bad.example/", "93.184.215.14")
    assert refusal(laid, "http://bad.example/", "93.184.215.14") == ""


def test_a_denied_address_is_denied_inside_nat64_too() -> None:
    assert "deny" in refusal(rules(deny="8.8.8.8"), "http://[64:ff9b::8.8.8.8]/")


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "http://x.example", "a b", "10.0.0.0/33", "10.0.0.1/8", "x.example:0x50",
     "*.10.0.0.1", "10.0.0.0/8:99999", "x.example:70000000", "x/24"],
)  # fmt: skip
def test_a_rule_that_names_no_place_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        rule_of(text)


def test_rules_that_change_nothing_are_told() -> None:
    laid = rules(
        "10.0.0.0/8 10.1.0.0/16 8.8.8.8 8.8.8.8:8443 *.a.example x.a.example bad.example",
        "bad.example 2.2.2.0/24 2.2.2.2",
    )
    assert [rule.text for rule, _ in idle(laid)] == [
        "10.1.0.0/16", "8.8.8.8", "x.a.example", "bad.example", "2.2.2.2",
    ]  # fmt: skip
    assert all(why for _, why in idle(laid))
    assert idle(rules("*.a.example a.example 10.0.0.1:80 10.0.0.1:81", "b.a.example")) == []
    assert [rule.text for rule, _ in idle(rules("*.b.a.example", "*.a.example"))] == [
        "*.b.a.example"
    ]


def test_names_of_local_networks_are_told_apart() -> None:
    assert all(map(is_local_name, ("nas", "nas.local", "x.localhost", "a.internal", "r.home.arpa")))
    assert not any(map(is_local_name, ("example.org", "10.0.0.1", "::1", "local.example")))


def test_an_origin_needs_a_web_scheme_and_a_port() -> None:
    assert site_of("HTTPS", "a.example", None) == Site(scheme="https", host="a.example", port=443)
    for scheme, port in (("ftp", 21), ("http", 0), ("http", 65536)):
        with pytest.raises(ValueError, match=r"."):
            site_of(scheme, "a.example", port)


def test_a_name_for_a_proxys_resolver_is_judged_as_far_as_a_name_can_be() -> None:
    laid = rules("nas:80 app.example:8080", "bad.example")
    assert laid.unresolved(read("https://example.org/")) == ""
    assert laid.unresolved(read("http://nas/")) == ""
    assert laid.unresolved(read("http://app.example:8080/")) == ""
    for url in ("https://nas/", "https://bad.example/", "http://a.internal/", "http://x.org:81/"):
        assert laid.unresolved(read(url))
