"""What is plain words for certain, against what shells make of it (the e2e test below asks real ones)."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.shell import ANY, MAX_COMMAND, ONE, UNCLEAR, read, read_pattern


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uptime", ("uptime",)),
        ("  /usr/bin/deploy \t prod  ", ("/usr/bin/deploy", "prod")),
        ("deploy 'a b' \"c d\"", ("deploy", "a b", "c d")),
        ("de'pl'o\"y\" ''", ("deploy", "")),
        (r"deploy a\ b \; \'x\"", ("deploy", "a b", ";", "'x\"")),
        ("echo 'a; rm -rf /' \"|&<>()\"", ("echo", "a; rm -rf /", "|&<>()")),
        ("echo '$HOME `id` *'", ("echo", "$HOME `id` *")),
        ("git-upload-pack '/srv/a.git'", ("git-upload-pack", "/srv/a.git")),
        ("rsync --server -logDtpre.iLsfxCIvu . /srv/x", ("rsync", "--server", "-logDtpre.iLsfxCIvu", ".", "/srv/x")),
        ("env --unset=A x=y ls", ("env", "--unset=A", "x=y", "ls")),
        ("date +%F", ("date", "+%F")),
        ("a,b:c@d/e_f]", ("a,b:c@d/e_f]",)),
        ("echo ''''", ("echo", "")),
    ],
)
def test_plain_words(text: str, words: tuple[str, ...]) -> None:
    found = read(text)
    assert found.words == words
    assert found.shell == frozenset()
    assert found.commands == (words,)
    assert found.resolved == " ".join(words)


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("", {"nothing"}),
        (" \t ", {"nothing"}),
        ("a;b", {";"}),
        ("a&&b", {"&"}),
        ("a|b", {"|"}),
        ("a >b", {">"}),
        ("a <b", {"<"}),
        ("a <<b", {"<", "<<"}),
        ("(a)", {"(", ")"}),
        ("a\nb", {"newline"}),
        ("a 'b\nc'", {"newline"}),
        ('a "b\nc"', {"newline"}),
        ("a\\\nb", {"\\", "newline"}),
        ('a "b\\\nc"', {"\\"}),
        ("a $b", {"$"}),
        ('a "$b"', {"$"}),
        ("a `b`", {"`"}),
        ('a "`b`"', {"`"}),
        ("a *", {"*"}),
        ("a b?", {"?"}),
        ("a [b]", {"["}),
        ("a {b,c}", {"{", "}"}),
        ("a ~", {"~"}),
        ("a --b=~root", {"~"}),
        ("a #b", {"#"}),
        ("! a", {"!"}),
        ("a 'b!'", {"!"}),
        ('a "b!"', {"!"}),
        (r"a b\!", {"\\"}),
        ("a^b^", {"^"}),
        ("a =b", {"="}),
        ("=a", {"=", "assignment"}),
        ('a ""=b', {"="}),
        ("a ''%1", {"%"}),
        ("a %1", {"%"}),
        ("'%s' a", {"%"}),
        ("A=b c", {"assignment"}),
        ("'A'=b c", {"assignment"}),
        ("A+=b c", {"assignment"}),
        (".=b c", {"assignment"}),
        ("if a", {"reserved word"}),
        ("'if' a", {"reserved word"}),
        ("a; then b", {";", "reserved word"}),
        ("@ a", {"reserved word"}),
        (" - a", {"reserved word"}),
        (r"a \n", {"\\"}),
        (r"a \x3b", {"\\"}),
        ("a \\", {"\\"}),
        (r"a 'b\' c", {"\\"}),
        ('a "b\\"c"', {"\\"}),
        ("a 'b", {"unclosed quote"}),
        ('a "b', {"unclosed quote"}),
        ("a \x01", {"control"}),
        ("a '\x1b[0m'", {"control"}),
        ("a\rb", {"control"}),
        ("a\x7f", {"control"}),
        ("a \\\r", {"control"}),
        ("a é", {"non-ASCII"}),
        ("a\u00a0b", {"non-ASCII"}),
        ("-s", {"option"}),
        ("+x a", {"option"}),
        ("a" * (MAX_COMMAND + 1), {"length"}),
    ],
)
def test_what_is_not_plain_is_named(text: str, uses: set[str]) -> None:
    found = read(text)
    assert found.shell == uses
    assert found.words is None


@pytest.mark.parametrize(
    ("text", "commands", "resolved"),
    [
        ("a b; c 'd e' && f | g", (("a", "b"), ("c", "d e"), ("f",), ("g",)), "a b ; c d e & & f | g"),
        ("a 2>/dev/null >&1 b <c", (("a", "b"),), "a 2 > /dev/null >& 1 b < c"),
        ("a2>b", (("a2",),), "a2 > b"),
        ("(a b)\nc", (("a", "b"), ("c",)), "( a b ) \n c"),
        ("> x", (), "> x"),
        ("A=1 r''m x", (("A=1", "rm", "x"),), "A=1 rm x"),
        ("a é", (("a", "é"),), "a é"),
    ],
)
def test_words_that_are_put_together_plainly_are_known(
    text: str, commands: tuple[tuple[str, ...], ...], resolved: str
) -> None:
    found = read(text)
    assert (found.words, found.commands, found.resolved) == (None, commands, resolved)


@pytest.mark.parametrize(
    "text", ["a $b", "a 'é'", "cat <<e\n'\ne\nreboot\n'", "a #'\nreboot\n#'", "r\\m", "r?", "{r,}m"]
)
def test_words_that_a_shell_would_make_are_not(text: str) -> None:
    found = read(text)
    assert (found.words, found.commands, found.resolved) == (None, None, None)


def test_patterns_have_wildcards_where_nothing_quotes_them() -> None:
    assert read_pattern("/usr/bin/deploy * 'a*' b? \"?\" \\*").words == (
        "/usr/bin/deploy", ANY, "a*", f"b{ONE}", "?", "*",
    )  # fmt: skip
    assert read_pattern("ls | wc *").shell == {"|"}


ODD = "ab-=+/. \t\n'\"\\$`;&|<>()*?[]{}~#!^%@:,\x01\r\xe9"
texts = st.text(alphabet=ODD, max_size=24) | st.lists(
    st.sampled_from(["a", "-b", "'c d'", '"e f"', "''", '""', "\\ ", "\\'", " ", "  ", "g=h", "%", "'\"'", '"\'"'])
).map("".join)


@given(texts)
def test_plain_is_only_what_uses_nothing_else(text: str) -> None:
    found = read(text)
    assert (found.words is None) == bool(found.shell)
    if found.words is not None:
        assert found.commands == (found.words,)
        assert found.resolved == " ".join(found.words)
        assert shlex.split(text) == list(found.words)
    if found.commands is None:
        assert found.resolved is None
        assert found.shell & (UNCLEAR | {"non-ASCII"})


@given(st.lists(st.text(alphabet="ab =/-;|$*'\"", max_size=6), min_size=1, max_size=5))
def test_what_is_quoted_as_sh_wants_it_comes_back(words: list[str]) -> None:
    found = read(shlex.join(words))
    if not found.shell & {"assignment", "reserved word", "option", "="}:
        assert found.words == tuple(words)


NAMES = ("dash", "bash", "ksh", "mksh", "zsh", "busybox", "tcsh", "fish")
SHELLS = [path for name in NAMES if (path := shutil.which(name))]
OPTIONS = {"busybox": ["sh"], "zsh": ["-f"], "tcsh": ["-f"], "fish": ["--no-config"]}
"""Without a user's own settings, which could make anything of anything."""

QUOTED = (
    "a -b 'c_d' \"e_f\" '' \"\" \\_ \\' \\\" \\; \\$ \\* \\& \\| \\` \\~ \\# \\( \\{ \\? \\[ \\< \\= \\% \\^ _ g=h = % "
    "'\"' \"'\" '$x' '`' '*' '~' '#' 'a;b' \"a;b|c&d<e>(f)\" \"*?[x]{a,b}~#^=\" @ : , ] + a:b @a %a --x= '%s' "
    "'{a,b}' - . .. /"
)
pieces = st.lists(st.sampled_from([piece.replace("_", " ") for piece in QUOTED.split()]), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some shells make directories there."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.e2e
@pytest.mark.parametrize("path", SHELLS, ids=lambda path: path.rpartition("/")[2])
@settings(max_examples=250, deadline=None)
@example("a 'b c' \"d e\" f\\ g ''")
@example('a ""=ls')
@given(texts | pieces.map("".join) | pieces.map(" ".join))
def test_shells_make_the_same_words_of_what_is_plain(home: Path, path: str, text: str) -> None:
    """Only texts that are taken for plain words are run, as arguments of printf."""
    found = read(text)
    if found.words is None:
        return
    command = [path, *OPTIONS.get(path.rpartition("/")[2], ()), "-c", f"/usr/bin/printf '%s\\0' {text}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(command, capture_output=True, timeout=20, env=environment)
    assert ran.stdout.decode().split("\0")[:-1] == list(found.words)
    assert not ran.stderr


def test_there_is_a_shell_to_ask() -> None:
    assert SHELLS
