"""Secrets stay inside, and words cannot command a terminal or deceive an eye."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from harness.errors import ReportError
from harness.evidence.folder import EvidenceFolder, inside, write_file
from harness.evidence.redaction import NO_SECRETS, Secrets, line, plain, redacted
from harness.history.marks import Event
from suites.support import histories

HELD = 'hunter2/"ü&<+ key'


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(HELD, id="as it is"),
        pytest.param(quote(HELD, safe=""), id="percent-encoded"),
        pytest.param(quote(HELD), id="percent-encoded path"),
        pytest.param(quote_plus(HELD), id="form-encoded"),
        pytest.param(json.dumps(HELD)[1:-1], id="in JSON"),
        pytest.param(json.dumps(HELD, ensure_ascii=False)[1:-1], id="in our JSON"),
        pytest.param(html.escape(HELD), id="in HTML"),
        pytest.param(HELD.encode().decode("latin-1"), id="as bytes"),
        pytest.param(base64.b64encode(HELD.encode()).decode(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(HELD.encode()).decode(), id="base64 for addresses"),
        *(
            pytest.param(
                base64.b64encode(b"u" * before + b":" + HELD.encode() + b"!!").decode(), id=f"inside base64 {before}"
            )
            for before in range(3)
        ),
    ],
)
def test_a_secret_is_redacted_in_every_form(form):
    """What remains beside the redaction is less than a base64 letter group of it."""
    said = Secrets([HELD]).redacted(f"postgres said: {form} and went")

    assert "[redacted]" in said
    assert len(said) <= len("postgres said: [redacted] and went") + 12


def test_a_short_secret_is_refused():
    """Redacting `abc` everywhere would destroy the report, so its owner is told."""
    with pytest.raises(ValueError, match="fewer than 6"):
        Secrets(["abc"])


def test_secrets_do_not_tell_themselves():
    """Neither a traceback nor a log that prints the object shows a value."""
    assert repr(Secrets([HELD])) == "Secrets(1 values)"


def test_the_longest_secret_is_redacted_first():
    """A secret inside a longer one must not leave the rest of the longer one behind."""
    assert Secrets(["secret", "secret-and-more"]).redacted("secret-and-more") == "[redacted]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colour"),
        pytest.param("\x1b]8;;http://evil\x07click\x1b]8;;\x07", "click", id="terminal link"),
        pytest.param("\x1b]0;title\x1b\\x", "x", id="window title"),
        pytest.param("a\x9b2Jb\x08\x00\r", "a2Jb", id="C1, backspace, NUL, return"),
        pytest.param("user\u202egnp.exe", "usergnp.exe", id="right-to-left override"),
        pytest.param("a\u200bb\ufeffc\u2066d", "abcd", id="zero width and isolates"),
        pytest.param("x\udc80y", "xy", id="lone surrogate"),
        pytest.param("a\tb\nc ± ü 語 🙂", "a\tb\nc ± ü 語 🙂", id="text stays"),
    ],
)
def test_plain_text_commands_nothing(text, expected):
    """Escape sequences and unseen characters go, all that a reader can see stays."""
    assert plain(text) == expected


def test_line_is_one_line():
    """A name with newlines cannot add a row to a table."""
    assert line(" a\n| b\r\n\tc ") == "a | b c"


def test_a_secret_cannot_hide_behind_unseen_characters(tmp_path):
    """Taking a zero-width space out of a secret must not put the secret together again."""
    write_file(tmp_path / "x.md", "pass\u200bword1 and password1", Secrets(["password1"]))

    assert (tmp_path / "x.md").read_text() == "[redacted] and [redacted]"


def test_a_secret_of_several_lines_is_taken_out_line_by_line(tmp_path):
    """As a log quotes it, with something before each; its bytes may be of any language."""
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----\n"
    secrets = Secrets([key, "pässwörd-geheim"])
    quoted = "".join(f"    | {part}\n" for part in key.splitlines())
    (tmp_path / "replica.log").write_text(f"{quoted}pässwörd-geheim", encoding="utf-8")

    EvidenceFolder(tmp_path, secrets).cut_files()

    left = (tmp_path / "replica.log").read_text(encoding="utf-8")
    assert left.split() == ["|", "[redacted]"] * 4 + ["[redacted]"]
    assert "MIIEvQ" not in secrets.redacted(quoted)


def test_bytes_with_a_secret_are_refused(tmp_path):
    """An image cannot be redacted, so it is not written."""
    with pytest.raises(ReportError, match="a secret is in the data"):
        write_file(tmp_path / "x.png", b"\x89PNG password1", Secrets(["password1"]))

    assert list(tmp_path.iterdir()) == []


def test_a_history_is_redacted_to_its_leaves():
    """Events, doses and names of replicas are cleaned; numbers are untouched."""
    _, history = histories.redis_latency()
    clean = redacted(history, Secrets(["replica-1", "opened after"]))

    assert clean.samples.replicas == ("", "[redacted]", "replica-2")
    assert clean.samples.records is history.samples.records
    assert clean.faults[0].doses[0].seen == "[redacted].redis: PING answered after 402 ms (asked: +400 ms)"
    assert Event(at_s=24.9, kind="subject", text="[redacted]: breaker redis [redacted] 5 slow calls") in clean.events


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "A", "a\0", "con.", "-a", "ä", "a" * 64, "a\n"]
)
def test_only_slugs_name_folders(tmp_path, name):
    """Whatever could lead out of the run's folder is refused."""
    with pytest.raises(ReportError):
        inside(tmp_path, name)


def test_a_full_disk_says_what_was_kept(tmp_path, monkeypatch):
    """The error is about the disk, and tells which files are good."""
    write_file(tmp_path / "verdict.json", "{}", NO_SECRETS)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.evidence.folder.tempfile.NamedTemporaryFile", full)
    with pytest.raises(ReportError, match=r"no space left on the disk; kept in this folder: verdict\.json"):
        write_file(tmp_path / "report.md", "x", NO_SECRETS)
