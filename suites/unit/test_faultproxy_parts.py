"""The pure parts of the fault proxy: flags, wire format, addresses, dice, slicing, delays."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from harness.faultproxy.address import bound_address, join, port_number, resolve, split_host_port
from harness.faultproxy.dice import dice_for
from harness.faultproxy.errors import AddressError, ApiError
from harness.faultproxy.flags import read_flags
from harness.faultproxy.schedule import Schedule
from harness.faultproxy.toxics.bandwidth import Bandwidth
from harness.faultproxy.toxics.latency import Latency
from harness.faultproxy.toxics.latency_distribution import LatencyDistribution
from harness.faultproxy.toxics.postgres_error import first_word
from harness.faultproxy.toxics.slicer import Slicer
from harness.faultproxy.wire import Fields, as_float32, decode, encode, shortest_float32
from suites.support.exchanges import REFUSED_FLAGS

# Every flag, as people write it with one dash; the value it has then, which is never its default.
FLAGS = {
    "-host=::1": ("host", "::1"),
    "-port=1": ("port", "1"),
    "-config=proxies.json": ("config", Path("proxies.json")),
    "-seed=-7": ("seed", -7),
    "-seed=0x10": ("seed", 16),
    "-seed=-0b11": ("seed", -3),
    "-seed=010": ("seed", 8),
    "-seed=1_000": ("seed", 1000),
    "-dial-timeout=0.5": ("dial_timeout", 0.5),
    "-proxy-metrics": ("proxy_metrics", True),
    "-runtime-metrics": ("runtime_metrics", True),
    "-strict-compat": ("strict_compat", True),
    "-exit-with-parent": ("exit_with_parent", True),
}


@pytest.mark.parametrize("dash", ["", "-"])
@pytest.mark.parametrize("flag", FLAGS)
def test_flags_take_one_dash_or_two(flag, dash):
    """As Go's do, whether the value follows a blank or an equals sign."""
    field, value = FLAGS[flag]

    assert getattr(read_flags([]), field) != value
    assert getattr(read_flags([dash + flag]), field) == value
    assert getattr(read_flags((dash + flag).split("=")), field) == value


@pytest.mark.parametrize("dash", ["-", "--"])
@pytest.mark.parametrize("flag", ["hos ::1", "po=1", "strict", "strict-compat=maybe", "seed x", "help-me"])
def test_flags_are_never_guessed(flag, dash, capsys):
    """Half a flag is no flag, as in Go: exit code 2, and the message names it."""
    with pytest.raises(SystemExit) as ended:
        read_flags((dash + flag).split())

    assert ended.value.code == 2
    assert flag.partition("=")[0].split()[0] in capsys.readouterr().err


@pytest.mark.parametrize(("text", "is_on"), [("true", True), ("T", True), ("1", True), ("false", False), ("0", False)])
def test_switches_take_gos_booleans(text, is_on):
    """What strconv.ParseBool takes."""
    assert read_flags([f"-strict-compat={text}"]).strict_compat == is_on


@pytest.mark.parametrize("flags", REFUSED_FLAGS)
def test_flags_that_go_refuses_are_refused(flags, capsys):
    """With exit code 2, which the contract suite says of the original."""
    with pytest.raises(SystemExit) as ended:
        read_flags(flags)

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("stop", ["stray", "-", "--", ""])
def test_flags_end_at_what_is_none(stop):
    """What follows is not looked at; a value is one whatever it looks like."""
    flags = read_flags(["-host", "-x", "-proxy-metrics", stop, "-port=1", "-nonsense"])

    assert (flags.host, flags.proxy_metrics, flags.port) == ("-x", True, "8474")


def test_empty_config_is_none():
    """As scripts write it that have nothing to say."""
    assert read_flags(["-config", ""]).config is None
    assert read_flags(["-config="]).config is None


def test_version_may_be_unwanted():
    """As any switch."""
    assert not read_flags(["-version=false"]).version
    assert read_flags(["-version"]).version


@pytest.mark.parametrize("flag", ["-h", "--h", "-help", "--help"])
def test_help_is_printed(flag, capsys):
    """However it is asked for."""
    with pytest.raises(SystemExit) as ended:
        read_flags([flag])

    assert ended.value.code == 0
    assert "--strict-compat" in capsys.readouterr().out


def test_defaults_are_toxiproxys():
    """Where the API listens unless somebody says otherwise."""
    flags = read_flags([])

    assert (flags.host, flags.port, flags.config, flags.strict_compat) == ("localhost", "8474", None, False)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(1.0, "1"), (0.0, "0"), (0.1, "0.1"), (0.333333333333, "0.33333334"), (0.5, "0.5"), (2.5, "2.5")],
)
def test_float32_is_shown_with_the_fewest_digits(number, shown):
    """As Go shows a float32."""
    assert encode({"n": shortest_float32(as_float32(number))}) == b'{"n":%s}' % shown.encode()


def test_float32_out_of_range_is_refused():
    """Go cannot hold it either."""
    with pytest.raises(ApiError, match="float32"):
        as_float32(1e300)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"latency": 5}', 5),
        (b'{"LATENCY": 5}', 5),
        (b'{"latency": 5, "Latency": 6}', 6),
        (b'{"latency": 5, "Latency": null}', 5),
        (b'{"latency": null}', None),
        (b"{}", None),
        (b"null", None),
        (b'  {"latency": -9223372036854775808}', -(2**63)),
    ],
)
def test_fields_are_found_in_any_case(body, read):
    """The last spelling wins, null leaves alone."""
    assert Fields(decode(body), "T").integer("latency") == read


@pytest.mark.parametrize("literal", ["1.0", "1e2", '"1"', "true", "[]", "{}", "9223372036854775808", "1" * 5000])
def test_integers_are_strict(literal):
    """Nothing but an int64 written as one is an int64."""
    with pytest.raises(ApiError, match="int64"):
        Fields(decode(b'{"n":%s}' % literal.encode()), "T").integer("n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"a', "unexpected EOF"),
        (b'{"a":', "unexpected EOF"),
        (b'{"a":5', "unexpected EOF"),
        (b"{5", "invalid character '5' looking for beginning of object key string"),
        (b'{"a" 5', "invalid character '5' after object key"),
        (b'{"a":5 5', "invalid character '5' after object key:value pair"),
        (b'{"a":"\n"}', "invalid character '\\n' in string literal"),
        (b'{"a":"\\x"}', "invalid character '\\\\' in string escape code"),
        (b'{"a":-Infinity}', "invalid character 'I' in numeric literal"),
    ],
)
def test_decoder_speaks_as_gos(body, message):
    """Clients show these texts to people."""
    with pytest.raises(ApiError) as caught:
        decode(body)

    assert caught.value.message == f"bad request body: {message}"


@pytest.mark.parametrize(
    ("address", "parts"),
    [("h:1", ("h", "1")), (":1", ("", "1")), ("h:", ("h", "")), ("[::1]:1", ("::1", "1")), ("[h]:1", ("h", "1"))],
)
def test_addresses_are_split_as_go_splits(address, parts):
    """Brackets hold colons."""
    assert split_host_port(address) == parts


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("h", "address h: missing port in address"),
        ("::1", "address ::1: too many colons in address"),
        ("[::1]", "address [::1]: missing port in address"),
        ("[::1]:1:2", "address [::1]:1:2: too many colons in address"),
    ],
)
def test_addresses_are_refused_as_go_refuses(address, message):
    """To the word."""
    with pytest.raises(AddressError) as caught:
        split_host_port(address)

    assert str(caught.value) == message


@pytest.mark.parametrize("port", ["65536", "-1", "9" * 30])
def test_impossible_ports_are_refused(port):
    """Digits beyond 65535, or a sign."""
    with pytest.raises(AddressError, match="invalid port"):
        port_number(port)


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        ("", ":0"),
        (":8080", ":8080"),
        ("0.0.0.0:8080", "0.0.0.0:8080"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("localhost:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::1]:8080"),
    ],
)
async def test_listen_is_normalised_as_it_resolves(listen, text):
    """What is compared with the bound address: a wildcard never equals its bound form `[::]:port`, as in Go."""
    if text.startswith(":"):
        assert (await resolve(listen)).host == ""
    else:
        assert (await resolve(listen)).text == text


@pytest.mark.parametrize("host", ["0127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.01", "0"])
async def test_odd_addresses_are_no_addresses(host):
    """C libraries read octal, hexadecimal and missing parts into them; Go takes them for names, which nobody has."""
    with pytest.raises(AddressError, match=f"lookup {re.escape(host)}: no such host"):
        await resolve(f"{host}:0")


@pytest.mark.parametrize(
    ("asked", "bound", "is_met", "is_same"),
    [
        (":5", "[::]:5", True, True),
        ("0.0.0.0:5", "[::]:5", True, True),
        ("", "[::]:5", True, False),
        (":0", "0.0.0.0:5", True, False),
        (":6", "[::]:5", False, False),
        ("127.0.0.1:5", "[::]:5", False, False),
        (":5", "127.0.0.1:5", False, False),
        ("127.0.0.1:0", "127.0.0.1:5", True, False),
        ("127.0.0.2:0", "127.0.0.1:5", False, False),
        ("[::1]:5", "[::1]:5", True, True),
    ],
)
async def test_addresses_mean_the_same_in_other_words(asked, bound, is_met, is_same):
    """Every interface has three names; any port is met by the one that there is, and is not the same as it."""
    address = await resolve(asked)

    assert address.is_met_by(bound_address(bound)) == is_met
    assert address.is_same_as(bound_address(bound)) == is_same


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("insert into t", "INSERT"),
        ("  \n;; ((Select 1)", "SELECT"),
        ("-- one\n--two\r\n\tupdate t", "UPDATE"),
        ("/* a /* b */ c */delete from t", "DELETE"),
        ("/**//***/ /* -- */ -- /*\n with x", "WITH"),
        ("commit;", "COMMIT"),
        ("/* never ends", ""),
        ("-- never ends", ""),
        ("", ""),
        ("$1", ""),
        ("- insert", ""),
        ("*/ insert", ""),
    ],
)
def test_first_word_of_a_statement_is_behind_comments(statement, word):
    """As PostgreSQL reads them: block comments nest."""
    assert first_word(statement) == word


def test_ipv6_is_written_in_brackets():
    """And IPv4 is not."""
    assert (join("::1", 5), join("127.0.0.1", 5)) == ("[::1]:5", "127.0.0.1:5")


def test_dice_repeat_and_differ():
    """The same names and numbers give the same draws, any other gives others."""
    draw = dice_for(1, "proxy", "toxic", 1, "stage").random()
    others = {
        dice_for(*key).random()
        for key in [
            (2, "proxy", "toxic", 1, "stage"),
            (1, "other", "toxic", 1, "stage"),
            (1, "proxy", "other", 1, "stage"),
            (1, "proxy", "toxic", 2, "stage"),
            (1, "proxy", "toxic", 1, "toxicity"),
        ]
    }

    assert draw == dice_for(1, "proxy", "toxic", 1, "stage").random()
    assert len(others | {draw}) == 6


def test_jitter_is_whole_milliseconds_around_the_latency():
    """From latency - jitter up to, but not including, latency + jitter; never below nothing."""
    dice = Random(1)
    delays = {round(Latency(latency=5, jitter=3).delay_s(dice) * 1000) for _ in range(500)}
    clipped = {Latency(latency=0, jitter=2).delay_s(dice) for _ in range(100)}

    assert delays == {2, 3, 4, 5, 6, 7}
    assert clipped == {0, 0.001}


@pytest.mark.parametrize("size", [1, 10, 11, 100, 1000])
@pytest.mark.parametrize("variation", [0, 5, 10])
def test_slicer_cuts_everything_small_enough(size, variation):
    """Pieces add up, and none is larger than allowed or empty."""
    pieces = list(Slicer(average_size=10, size_variation=variation).cuts(size, Random(size)))

    assert sum(pieces) == size
    assert all(1 <= piece <= 10 + variation for piece in pieces)


def test_slicer_halves():
    """Toxiproxy 2.12, observed."""
    assert list(Slicer(average_size=10).cuts(100, Random(0)))[:4] == [6, 6, 6, 7]


def test_bandwidth_sends_slices_of_a_tenth_of_a_second():
    """Larger pieces leave in slices, smaller ones whole; at rate 0 nothing ever leaves."""
    slices = [(lasts, len(piece)) for lasts, piece in Bandwidth(rate=10).slices(b"x" * 2500)]

    assert slices == [(0.1, 1000), (0.1, 1000), (0.05, 500)]
    assert [lasts for lasts, _ in Bandwidth(rate=0).slices(b"x")] == [float("inf")]


@pytest.mark.parametrize("distribution", ["normal", "lognormal", "pareto"])
def test_distributions_have_the_percentiles_they_were_given(distribution):
    """Of 20 000 draws half are below the median and 1 % above p99, whatever the shape."""
    settings = LatencyDistribution(distribution=distribution, median=100, p99=300)
    dice = Random(1)
    draws = [settings.delay_s(dice) for _ in range(20_000)]

    assert settings.problem() is None
    assert abs(sum(draw < 0.1 for draw in draws) / 20_000 - 0.5) < 0.02  # five standard deviations and more
    assert abs(sum(draw > 0.3 for draw in draws) / 20_000 - 0.01) < 0.004


def test_distribution_tails_differ_and_are_capped():
    """A Pareto tail is longer than a lognormal one, and no delay exceeds the cap."""

    def slowest(distribution, cap=60_000):
        settings = LatencyDistribution(distribution=distribution, median=100, p99=300, cap=cap)
        dice = Random(1)
        return max(settings.delay_s(dice) for _ in range(20_000))

    assert slowest("normal") < slowest("lognormal") < slowest("pareto")
    assert slowest("pareto", cap=250) == 0.25


def test_table_is_interpolated():
    """Below the first pair and above the last it is flat, between them straight."""
    settings = LatencyDistribution(distribution="table", percentiles=((50.0, 10.0), (90.0, 50.0), (99.0, 50.0)))

    class Fixed:
        def __init__(self, percent):
            self.percent = percent

        def random(self):
            return self.percent / 100

    assert [round(settings.delay_s(Fixed(percent)) * 1000) for percent in (0, 50, 70, 90, 95, 99.9)] == [
        10,
        10,
        30,
        50,
        50,
        50,
    ]


@pytest.mark.parametrize(
    ("schedule", "selected"),
    [
        (Schedule(), [-1, 0, 1, 2, 3, 4, 5, 6]),
        (Schedule(first=2), [1, 2]),
        (Schedule(every=3), [3, 6]),
        (Schedule(skip=4), [5, 6]),
        (Schedule(skip=1, first=3, every=2), [3]),
        (Schedule(lasts_ms=5), [-1, 0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_schedule_selects_by_place(schedule, selected):
    """Counting starts after the toxic, then after those skipped."""
    assert [place for place in range(-1, 7) if schedule.selects(place)] == selected
