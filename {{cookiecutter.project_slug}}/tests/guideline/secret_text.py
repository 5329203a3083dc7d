"""What looks like a secret's value, and what is only a reference or a placeholder."""

import re
from collections.abc import Iterator

NAME = re.compile(
    r"(?:^|_)(?:api_?keys?|(?:access|secret|private|ssh|signing|encryption|master|auth|account)_?keys?"
    r"|secrets?|tokens?|passw(?:or)?d|passphrase|pwd|pass|credentials?)$"
)
# Of a language model, tokens are counted.
COUNTED = re.compile(r"(?:^|_)(?:max|min|num|total|prompt|completion|context|new)_tokens$")
# Keys of known services, private keys, and passwords within addresses.
KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{20,}|sk_live_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{20,}|gh[oprsu]_[A-Za-z0-9]{30,}"
    r"|github_pat_\w{30,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{35}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{30,}|dckr_pat_[\w-]{20,}|pypi-[\w-]{40,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[A-Za-z0-9+/=]{16}"
    r"|(?i:\bbearer|\bbasic)\s+(?=\S*\d)[A-Za-z0-9._~+/=-]{20,}"
)
ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]*://[^\s/:@\"'{}$<]*:(?P<password>[^\s/@\"'{}]+)@", re.IGNORECASE
)
REFERENCE = re.compile(
    r"\$\{\{.*?\}\}|\$\{[^}]*\}|\$\([^)]*\)|\$[A-Za-z_]\w*|\$[\d@*#?]|\{\{.*?\}\}|%\(\w+\)s"
)
DEFAULT = re.compile(r"\$\{(?P<name>\w+):?[-+](?P<default>[^}]*)\}")
PLACEHOLDER = re.compile(
    r"(?i)change[-_ ]?(?:me|this)|placeholder|your[-_ ]|x{4,}|\*{3}|\.\.\.|…|<[^>]+>"
    r"|^(?:example|dummy|todo|none|null|nil|empty|redacted|masked|undefined)$"
)
PLAIN = re.compile(
    r"(?i)true|false|yes|no|on|off|write|read|inherit|required|optional|external|auto"
)
PATH = re.compile(r"(?:/|\./|\.\./|~/|file:|[A-Za-z]:\\)")
VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
SHORTEST = 4
SHORTEST_IN_CODE = 8
SURE_LENGTH = 16


def is_secret_name(name: str) -> bool:
    """Tell whether something of this name holds a secret: ``API_KEY``, ``dbPassword`` ..."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    plain = re.sub(r"[^a-z0-9]+", "_", words.lower())
    return bool(NAME.search(plain)) and not COUNTED.search(plain)


def is_value(value: str, name: str = "password") -> bool:
    """Tell whether a text, held by something of a secret's name, is the secret itself.

    Args:
        value: as it is written in a configuration file.
        name: of what holds it; a number is no token, but may be a password.
    """
    text = value.strip().strip("\"'")
    for match in DEFAULT.finditer(text):
        if is_value(match["default"], name):
            return True
    rest = REFERENCE.sub(" ", text)
    if rest != text:  # a key beside a reference has digits; a caller's name does not
        pieces = re.split(r"[\s:,@/|&='\"!()]+", rest)
        return any(len(one) > SHORTEST and re.search(r"\d", one) for one in pieces)
    if len(text) < SHORTEST or PLACEHOLDER.search(text) or PLAIN.fullmatch(text):
        return False
    if PATH.match(text) or VARIABLE_NAME.fullmatch(text):
        return False
    return not (re.fullmatch(r"[\d_.]+", text) and not re.search(r"(?i)pass|pwd|secret|key", name))


def is_value_in_code(value: str, name: str) -> bool:
    """Tell the same of a text constant of a program, where names mean more things."""
    if not is_value(value, name) or re.search(r"[\s<>{}%]", value) or is_secret_name(value):
        return False
    if is_secret_name(re.sub(r"(?i)tokens?$", "", name) or "x") or "token" not in name.lower():
        return len(value) >= SHORTEST_IN_CODE
    return len(value) >= SURE_LENGTH or (len(value) >= SHORTEST_IN_CODE and has_digit(value))


def has_digit(text: str) -> bool:
    """Tell whether a text has a digit in it."""
    return any(char.isdigit() for char in text)


def known_secret(text: str) -> bool:
    """Tell whether a text holds a key of a known form, or an address with a password."""
    if match := KNOWN.search(text):
        return not PLACEHOLDER.search(match[0])
    return any(
        is_value(match["password"]) and not REFERENCE.search(match["password"])
        for match in ADDRESS.finditer(text)
    ) or any(is_value(match["default"]) for match in _address_defaults(text))


def _address_defaults(text: str) -> Iterator[re.Match[str]]:
    """Yield the defaults of secrets' variables, wherever they stand."""
    return (match for match in DEFAULT.finditer(text) if is_secret_name(match["name"]))
