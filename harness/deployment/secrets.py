"""Secrets that stand in a compose file: known by the name of what holds them, never by what they look like.

The last word of a name says what it is: `DATABASE_PASSWORD` is one, `PASSWORD_MIN_LENGTH` is a number. A path, a
switch, and what is read from outside are no secrets, whatever they are called.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from harness.deployment.outside import is_switch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NO_WORD_OF_ITS_OWN = {"base", "plain", "plaintext", "value"}
"""Behind the word that counts: Rails' SECRET_KEY_BASE."""

_SECRET = re.compile(
    r"\w*(password|passwd|passphrase|passcode|secret|token|apikey|credentials?)"
    r"|\w*(?<!by)(?<!com)pass|pwd|pw|auth|masterauth|salt|pepper|key"
)
_NEVER_ALONE = {"pwd", "pw", "key"}
"""PWD is where a shell is, and a key that nobody named may be one of a table."""

_OTHER_KEYS = {"cache", "foreign", "group", "index", "object", "partition", "primary", "public", "routing", "sort"}
_SWITCHED_OFF = {"allow", "disable", "no", "skip", "without"}
_METHODS = re.compile(
    r"(?i)anonymous|basic|bearer|caching_sha2_password|cram-?md5|digest|external|gssapi|internal|jwt|kerberos|ldap"
    r"|local|login|md5|mtls|mysql_native_password|none|ntlm|oauth2?|oidc|plain|proxy|saml|scram(-sha-\d+)?|tls|trust|x509"
)
"""Ways to log in, which is what AUTH mostly says."""

_PATH = re.compile(r"file:.*|(\.{1,2}|~)/\S*|(/[\w.@%+-]+){2,}/?|[A-Za-z]:\\.*")
_STORED = re.compile(r"(?i)(op|vault|arn|awssm|ssm|ref)[:+].*")
"""Where a store of secrets keeps it."""

_OUTSIDE = re.compile(r"""["']?(\$[A-Za-z_]|\$?\$[({]|\$\$[A-Za-z_]|`)""")
_IN_A_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_IN_A_LIST = re.compile(r"(?:^|[;&?\s])-{0,2}([A-Za-z][\w .-]{0,60}?)\s*=\s*([^;&\s]+)")
"""As connections are written: `Server=db;Password=…`, `host=db password=…`."""

_SHORT = {
    "redis-cli": re.compile(r"-a|--pass"),
    "valkey-cli": re.compile(r"-a|--pass"),
    "mongosh": re.compile(r"-p"),
    "mongo": re.compile(r"-p"),
}
_JOINED = re.compile(r"-p(?P<value>.+)")
_JOINED_TO = {"mysql", "mysqladmin", "mysqldump", "mariadb", "mariadb-admin", "mariadb-dump"}
_PAIRED = re.compile(r"-u|--user|--proxy-user")
_OPTION = re.compile(r"-{1,2}(?P<name>[A-Za-z][\w.-]*)(?P<pair>=(?P<value>.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)


def stands_under(name: str, value: str | None) -> bool:
    """Tell whether a value that stands under a name is a secret, or holds one."""
    value = value or ""
    return (_is_secret_name(name) and _is_value(name, value)) or _holds_one(value)


def stand_in(command: Any) -> Iterator[tuple[int | None, str]]:
    """Yield what a command gives away: where in its list, if it is one, and what holds the secret."""
    lines = enumerate(command) if isinstance(command, list) else [(None, command or "")]
    placed = [(index, word) for index, line in lines for word in _words_of(str(line))]
    words = [word for _, word in placed]
    for at, (index, _) in enumerate(placed):
        if name := _held_by(words, at):
            yield index, name


def _words_of(text: str) -> list[str]:
    """Return the words of an argument, which may be a whole line for a shell."""
    if not re.search(r"\s", text):
        return [text]
    try:
        return shlex.split(text) or [""]
    except ValueError:  # an open quote, which a shell would not take either
        return text.split()


def _held_by(words: Sequence[str], index: int) -> str:
    """Return what holds the secret that a word is, or that follows it; nothing if there is none."""
    word, following = words[index], words[index + 1] if index + 1 < len(words) else ""
    assignment, option = _ASSIGNMENT.fullmatch(word), _OPTION.fullmatch(word)
    if assignment and stands_under(assignment["name"], assignment["value"]):
        return assignment["name"]
    if option and _is_secret_name(option["name"]):
        value = option["value"] if option["pair"] else "" if following.startswith("-") else following
        if _is_value(option["name"], value):
            return word.partition("=")[0]
    if _holds_one(word):
        return "a password in a URL" if _IN_A_URL.search(word) else "a connection"
    return _held_by_a_short_one(words[:index], word, following)


def _held_by_a_short_one(before: Sequence[str], word: str, following: str) -> str:
    """Return a short option of a program that is known to take a password behind it."""
    programs = {each.rpartition("/")[2] for each in before}
    takes_next = any(program in programs and short.fullmatch(word) for program, short in _SHORT.items())
    if takes_next and _is_value("password", following):
        return word
    joined = _JOINED.fullmatch(word) if programs & _JOINED_TO else None
    if joined and _is_value("password", joined["value"]):
        return "-p"
    is_paired = "curl" in programs and _PAIRED.fullmatch(word)
    return word if is_paired and ":" in following and _is_value("password", following.partition(":")[2]) else ""


def _holds_one(text: str) -> bool:
    """Tell whether a secret stands inside a value: in a URL, or in a list of settings."""
    in_urls = (password for password in _IN_A_URL.findall(text) if not _OUTSIDE.match(password))
    listed = (name for name, value in _IN_A_LIST.findall(text) if _is_secret_name(name) and _is_value(name, value))
    return any(in_urls) or any(listed)


def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    while len(words) > 1 and (words[-1].isdecimal() or words[-1] in _NO_WORD_OF_ITS_OWN):
        words.pop()
    if not words or not _SECRET.fullmatch(words[-1]) or words[0] in _SWITCHED_OFF:
        return False
    if words[-1] in _NEVER_ALONE and len(words) == 1:
        return False
    return not (words[-1] == "key" and words[-2] in _OTHER_KEYS)


def _is_value(name: str, value: str) -> bool:
    """Tell whether a value is one at all, and not where it stands, or a switch, or a way to log in."""
    if not re.search(r"\w", value) or is_switch(value) or _OUTSIDE.match(value):
        return False
    if _PATH.fullmatch(value) or _STORED.fullmatch(value):
        return False
    return not (name.lower().endswith("auth") and _METHODS.fullmatch(value))
