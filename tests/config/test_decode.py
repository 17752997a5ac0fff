from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest

from gateway.config import parse_yaml
from gateway.config.markers import Duration, Later, Name, Parsed, Reference, Size
from gateway.errors import ConfigError
from gateway.secrets import SecretReference


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    LATER: ClassVar[dict[str, str]] = {"soon": "wait for it"}

    word: str = "default"
    many: tuple[str, ...] = ()
    some: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ()


class Partial(msgspec.Struct, frozen=True):
    partial: Inner


class Keyed(msgspec.Struct, frozen=True):
    hmac: str


class Everything(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str = ""
    number: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    ratio: float = 0.0
    switch: bool = False
    inner: Inner | None = None
    choice: Annotated[Literal["a", "b"], Later({"c": "use a"})] = "a"
    method: Literal["null", "redact"] | Partial | Keyed | None = None
    wait: Duration | None = None
    size: Size | None = None
    secret: Reference | None = None
    by_uid: dict[int, Name] = {}
    table: dict[str, tuple[str, ...]] = {}
    unique: frozenset[str] = frozenset()
    mixed: bool | int | str | tuple[str, ...] = 0
    anything: Any = None
    renamed: str = msgspec.field(default="", name="from")
    need: str

    def __post_init__(self) -> None:
        if self.text == self.need:
            raise ValueError("has text and need alike; change one")


def decode(text: str) -> Everything:
    return parse_yaml(("need: x\n" + text).encode(), Everything, file="f")


def said(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        decode(text)
    for problem in caught.value.problems:
        assert problem.file == "f"
        assert problem.mend
        assert problem.line is not None
    return [f"{'.'.join(map(str, problem.path))} {problem.problem}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "off", "NO", "true", "22:22", "0755", "0o17", "1.10", "1e3", "2026-11-24", ".inf", "="]
)
def test_text_is_as_it_was_written(word: str) -> None:
    """The traps of YAML 1.1: Norway, sexagesimal, octal, versions, dates."""
    assert decode(f"text: {word}").text == word
    assert decode(f"table: {{{word}: [{word}]}}").table == {word: (word,)}


@pytest.mark.parametrize("word", ["", "~", "null", "Null", "NULL"])
def test_null_is_never_a_value(word: str) -> None:
    for key in ("text", "inner", "wait", "table", "unique", "number", "mixed", "anything", "choice", "from"):
        assert said(f"{key}: {word}") == [f"{key} has no value"]
    if word != "null":
        assert said(f"method: {word}") == ["method has no value"]
    assert said(f"inner: {{many: [a, {word or '~'}]}}") == ["inner.many.1 has no value"]
    assert decode(f"text: '{word}'").text == word


def test_null_as_a_word_of_its_own() -> None:
    assert decode("method: null").method == "null"


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "1", "0", "'true'", "y", "[true]"])
def test_switches_are_true_or_false(word: str) -> None:
    assert said(f"switch: {word}")[0].startswith("switch is ")


def test_switches() -> None:
    assert decode("switch: true").switch is True
    assert decode("switch: false").switch is False


@pytest.mark.parametrize(
    "word", ["010", "0x5", "0o5", "1_0", "5.0", "'5'", "1:30", "x", "99999999999999999999", "+-1", "true"]
)
def test_no_numbers(word: str) -> None:
    assert said(f"number: {word}")[0].startswith("number is not a whole number")


def test_numbers() -> None:
    assert decode("number: 10").number == 10
    assert decode("ratio: 2").ratio == 2.0
    assert decode("ratio: 2.5e-1").ratio == 0.25
    assert said("ratio: 1e999") == ["ratio is not a number"]
    assert said("ratio: .nan") == ["ratio is not a number"]
    with pytest.raises(ConfigError) as caught:
        decode("number: 11")
    assert caught.value.problems[0].problem == "is out of bounds"
    assert caught.value.problems[0].mend == "write a whole number <= 10"


def test_every_problem_is_found() -> None:
    text = "txet: a\nnumber: 0\ninner:\n  wrod: x\n  soon: 1\n  some: []\nchoice: c\nsize: 5GB\nsecret: hunter2\n"
    assert said(text) == [
        "txet is not a known key",
        "number is out of bounds",
        "inner.wrod is not a known key",
        "inner.soon is not in this version of Ostiary",
        "inner.some is empty",
        "choice c is not in this version of Ostiary",
        "size is not a size",
        "secret is not a secret reference",
    ]


def test_mends_say_what_was_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        decode("txet: a\nchoice: bb\nxyz: 1")
    mends = [problem.mend for problem in caught.value.problems]
    assert mends[0] == "did you mean `text`?"
    assert mends[1] == "did you mean `b`?"
    assert mends[2].startswith("known keys: text, number")


def test_values_are_never_repeated() -> None:
    text = "secret: hunter2\nwait: hunter2\nsize: hunter2\nnumber: hunter2\nchoice: hunter2\nswitch: hunter2\n"
    text += "method: hunter2\nby_uid: {0: ' hunter2'}\ninner: hunter2\ntable: hunter2\nunique: hunter2\n"
    with pytest.raises(ConfigError) as caught:
        decode(text)
    assert len(caught.value.problems) == 11
    assert "hunter2" not in str(caught.value)


def test_missing_and_contradicting() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(b"text: x", Everything, file="f")
    assert str(caught.value) == "f:1:\n  need:\n    is missing\n    Mend: add `need:`; it has no default"
    assert said("text: x") == [" has text and need alike"]


def test_collections() -> None:
    made = decode("by_uid: {0: nobody, 1000: alice}\ntable: {a: [b], c: []}\nunique: [a, b, a]\nfrom: here\ninner: {}")
    assert made.by_uid == {0: "nobody", 1000: "alice"}
    assert made.table == {"a": ("b",), "c": ()}
    assert made.unique == frozenset("ab")
    assert made.renamed == "here"
    assert made.inner == Inner()
    assert said("by_uid: {x: a, 01: b}") == ["by_uid.x is not a whole number", "by_uid.01 is not a whole number"]
    assert said("by_uid: {1: a, +1: b}") == ["by_uid.+1 is there twice, written differently"]
    assert said("by_uid: [1]") == ["by_uid is a list, not keys with values"]
    assert said("unique: {a: 1}") == ["unique is a mapping, not a list"]
    assert said("text: [a]") == ["text is a list, not text"]
    assert said("inner: [a]") == ["inner is a list, not keys with values"]
    assert said("wait: [a]") == ["wait is a list, not a duration"]


def test_unions_are_told_apart_by_shape() -> None:
    assert decode("method: {partial: {word: x}}").method == Partial(Inner("x"))
    assert decode("method: {hmac: key}").method == Keyed("key")
    assert decode("method: redact").method == "redact"
    assert said("method: {hmca: key}")[0].startswith("method.hmca is not a known key")
    assert said("method: redcat") == ["method is not one of null, redact"]
    assert said("method: [redact]") == ["method is a list, not null or redact or keys with values"]
    assert decode("mixed: true").mixed is True
    assert decode("mixed: 5").mixed == 5
    assert decode("mixed: '5'").mixed == "5"
    assert decode("mixed: no").mixed == "no"
    assert decode("mixed: [no]").mixed == ("no",)


def test_anything() -> None:
    assert decode("anything: {a: [1, 2.5, true, 'x', no]}").anything == {"a": [1, 2.5, True, "x", "no"]}


def test_parsed_values() -> None:
    made = decode("wait: 90s\nsize: 2KiB\nsecret: file:/x")
    assert (made.wait, made.size, made.secret) == (90.0, 2048, SecretReference("file", "/x"))


def test_lists_at_the_root_and_empty_files() -> None:
    assert parse_yaml(b"- {word: a}\n", tuple[Inner, ...], file="f") == (Inner("a"),)
    assert parse_yaml(b"", list[Inner], file="f") == []
    assert parse_yaml(b"# only a comment\n", Inner, file="f") == Inner()
    with pytest.raises(ConfigError, match=r"entry 2:\n\s+wrd:\n\s+is not a known key"):
        parse_yaml(b"- {}\n- {wrd: a}\n", list[Inner], file="f")


def test_keys_are_escaped() -> None:
    with pytest.raises(ConfigError) as caught:
        decode('"\\e]0;x\\a": 1')
    assert "\x1b" not in str(caught.value)


def test_a_parser_that_says_only_what_is_wrong() -> None:
    def refuse(text: str) -> Path:
        raise ValueError("is refused")

    with pytest.raises(ConfigError, match=r"is refused\n\s+Mend: see docs"):
        parse_yaml(b"- x", list[Annotated[Path, Parsed(refuse, "path")]], file="f")
