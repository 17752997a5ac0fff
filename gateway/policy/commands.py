"""Patterns of commands: ``ssh.exec`` of a policy.

A pattern is written and split as a command is (`gateway.shell`). Each of its words is a glob for one word, and ``**``
as the last stands for any further ones. A pattern that uses more of a shell's language than quotes is a text: it stands
for exactly that command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.model import SshOperation
from gateway.policy.globs import expression
from gateway.shell import ANY, ONE, read, read_pattern

REST = ANY + ANY

_UPWARDS = re.compile(r"(?:^|[^A-Za-z0-9_.-])\.\.(?:/|$)")
"""A directory's parent in a word. Who allows /srv/* means what lies there."""


@dataclass(frozen=True, slots=True)
class _Word:
    """``wild``: a wildcard in it; then ``expression`` matches. ``begins_wild``: it begins with one."""

    text: str
    expression: re.Pattern[str] | None
    begins_wild: bool

    @classmethod
    def of(cls, text: str) -> _Word:
        wild = ANY in text or ONE in text
        return cls(
            text, re.compile(expression(text, ANY, ONE), re.DOTALL) if wild else None, text.startswith((ANY, ONE))
        )

    def match(self, word: str, *, certain: bool) -> bool:
        """``certain``: a wildcard at the beginning stands for no option's dash, and nowhere for a ``..``."""
        if self.expression is None:
            return word == self.text
        if certain and ((self.begins_wild and word.startswith("-")) or _UPWARDS.search(word)):
            return False
        return self.expression.fullmatch(word) is not None


@dataclass(frozen=True, slots=True)
class CommandPattern:
    """One pattern. ``words`` is None where it is a text; ``rest``: any further words may follow."""

    text: str
    words: tuple[_Word, ...] | None
    rest: bool = False

    @classmethod
    def of(cls, text: str) -> CommandPattern:
        """Raises ValueError("what is wrong; the mend")."""
        found = read_pattern(text)
        if found.words is None:
            uses = ", ".join(sorted(found.shell))
            if found.wild:
                raise ValueError(
                    f"uses more of a shell's language than quotes ({uses}), so that it stands for exactly this text "
                    "and can't have wildcards; write the words of one command, or put it into a script at the target"
                )
            if not found.shell.isdisjoint(("unclosed quote", "option", "nothing")):
                raise ValueError(f"is no command ({uses}); write its words, in quotes where one has blanks")
            return cls(text, None)
        words, rest = found.words, found.words[-1] == REST
        if rest:
            words = words[:-1]
        if any(REST in word for word in words):
            raise ValueError("has a `**` that is not its last word; write `*` for one word, `**` at the end for all")
        return cls(text, tuple(map(_Word.of, words)), rest)

    @property
    def quotes_wildcards(self) -> bool:
        """Whether a wildcard in it stands for itself."""
        return any("*" in word.text or "?" in word.text for word in self.words or ())

    def match(self, words: tuple[str, ...], *, certain: bool) -> bool:
        """Whether a command of these words is one of its."""
        own = self.words
        if own is None or len(words) < len(own) or (len(words) > len(own) and not self.rest):
            return False
        return all(mine.match(word, certain=certain) for mine, word in zip(own, words, strict=False))


@dataclass(frozen=True, slots=True)
class CommandPatterns:
    """Some patterns; their order and repetitions are forgotten."""

    patterns: tuple[CommandPattern, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> CommandPatterns:
        return cls(tuple(CommandPattern.of(text) for text in sorted(set(texts))))

    def covers(self, operation: SshOperation) -> bool:
        """Whether the command is one of them, for certain: what an allow asks.

        A wildcard at a word's beginning stands for no option, for options change what a command does, and none stands
        for a way upwards. (``**`` as a pattern's end stands for anything.)
        """
        if any(pattern.words is None and pattern.text == operation.text for pattern in self.patterns):
            return True
        words = operation.argv
        return words is not None and any(pattern.match(words, certain=True) for pattern in self.patterns)

    def names(self, operation: SshOperation) -> bool:
        """Whether the command, or a part of it, could be one of them: what a deny and an approve ask.

        Of a command that is put together each part may stand behind others (``if``, ``sudo``, ``A=1``).
        """
        if any(pattern.words is None and pattern.text == operation.text for pattern in self.patterns):
            return True
        if operation.argv is not None:
            return self._any(operation.argv)
        commands = read(operation.text).commands
        if commands is None:
            return True
        return any(self._any(words[start:]) for words in commands for start in range(len(words)))

    def _any(self, words: tuple[str, ...]) -> bool:
        return any(pattern.match(words, certain=False) for pattern in self.patterns)

    def __str__(self) -> str:
        return ", ".join(pattern.text for pattern in self.patterns)
