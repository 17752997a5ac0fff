"""The words of a command, as a shell splits them, where that is certain.

sshd hands an exec request's text to the login shell (``$SHELL -c TEXT``; RFC 4254 section 6.5), which makes words of
it. Here a text is plain words only where sh, dash, bash, ksh, zsh, csh and fish agree on what they are
(POSIX.1-2017, Shell Command Language, 2.2 Quoting and 2.3 Token Recognition). Whatever else a text uses is named, and
then nobody takes it for plain words. Shells that are none of these (Windows' cmd.exe) split otherwise.

`gateway.protocols.ssh` reads commands, `gateway.policy` compares them with entries; neither may import the other, so
this lies below both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

MAX_COMMAND = 32 * 1024
"""Characters of a command that is read. The longest in use (rsync's, Ansible's with a module inlined) have some
thousand; Linux itself takes 128 KiB as one argument."""

UNCLEAR = frozenset(
    {
        "$", "`", "*", "?", "[", "{", "}", "~", "#", "!", "^", "=", "%", "\\", "<<", "control", "unclosed quote",
        "option", "length",
    }
)  # fmt: skip
"""What a shell may make other words of, or what shells read differently. The rest of what `Command.shell` names puts
commands together (``;``, ``|``, ``>``, ...) or says how they run, and their words are as they are written."""

RESERVED = frozenset(
    """
    if then elif else fi do done case esac while until for in function select time coproc repeat foreach end nocorrect
    noglob switch default breaksw endif endsw goto onintr and or not begin - @ [[ ]] ((
    """.split()
)
"""First words that begin something else than a command, in one of the shells."""

_BLANK = " \t"
_OPERATORS = ";&|<>()\n"
_REDIRECTIONS = "<>"
_ANYWHERE = frozenset("$`*?[{}~#!^")

ANY, ONE = "\0", "\1"
"""What stands for the wildcards ``*`` and ``?`` in the words of a pattern; no text of a policy holds them."""


@dataclass(frozen=True, slots=True)
class Command:
    """A text that somebody would have a shell run.

    words     its words, quotes resolved, where it is plain words for certain; else None
    shell     what of a shell's language it uses; not empty if and only if ``words`` is None
    commands  the words of each simple command in it, without redirections; None where they are not certain
    resolved  the whole with quotes resolved and single blanks; None where that is not certain
    wild      it is a pattern with wildcards
    """

    words: tuple[str, ...] | None
    shell: frozenset[str]
    commands: tuple[tuple[str, ...], ...] | None
    resolved: str | None
    wild: bool = False


@lru_cache(maxsize=128)
def read(text: str) -> Command:
    """What ``text`` says; nothing is raised."""
    if len(text) > MAX_COMMAND:
        return Command(None, frozenset({"length"}), None, None)
    found = _Reader(text, pattern=False)
    found.read()
    return found.command()


def read_pattern(text: str) -> Command:
    """As `read`, of a pattern: ``*`` and ``?`` without quotes are wildcards, `ANY` and `ONE` in its words."""
    found = _Reader(text, pattern=True)
    found.read()
    return found.command()


class _Reader:
    """Splits one text. ``tokens`` are words and operators in order, an operator as a pair with None."""

    def __init__(self, text: str, *, pattern: bool) -> None:
        self.text = text
        self.at = 0
        self.shell: set[str] = set()
        self._pattern = pattern
        self._word: list[str] | None = None
        self._quoted = False
        self._wild = False
        self.tokens: list[tuple[str | None, str]] = []
        self._simple: list[list[str]] = [[]]
        self._target = False

    def read(self) -> None:
        text = self.text
        if text[:1] in ("-", "+"):
            # The shell would take it for options of its own: $SHELL -c -s
            self.shell.add("option")
        if not text.isascii():
            self.shell.add("non-ASCII")
        while self.at < len(text):
            character = text[self.at]
            self.at += 1
            if character in _BLANK:
                self._end()
            elif character in _OPERATORS:
                self._operator(character)
            elif character == "'":
                self._single()
            elif character == '"':
                self._double()
            elif character == "\\":
                self._escape()
            else:
                self._plain(character)
        self._end()
        self._look_at_first_words()

    def command(self) -> Command:
        if not any(self._simple):
            self.shell.add("nothing")
        shell = frozenset(self.shell)
        # In a multi-byte locale a byte of a character may hide a quote, and the caller may choose the locale.
        unsure = not UNCLEAR.isdisjoint(shell) or ("non-ASCII" in shell and self._quoted)
        commands = tuple(tuple(words) for words in self._simple if words)
        return Command(
            words=commands[0] if not shell else None,
            shell=shell,
            commands=None if unsure else commands,
            resolved=None if unsure else " ".join(word if word is not None else sign for word, sign in self.tokens),
            wild=self._wild,
        )

    def _add(self, text: str) -> None:
        if self._word is None:
            self._word = []
        self._word.append(text)

    def _end(self) -> None:
        if self._word is None:
            return
        word = "".join(self._word)
        self._word = None
        self.tokens.append((word, ""))
        if self._target:
            self._target = False
        else:
            self._simple[-1].append(word)

    def _operator(self, character: str) -> None:
        self.shell.add("newline" if character == "\n" else character)
        if character in _REDIRECTIONS:
            if self._word is not None and "".join(self._word).isdigit():
                # A descriptor's number, as in 2>file.
                self.tokens.append(("".join(self._word), ""))
                self._word = None
            self._end()
            start = self.at - 1
            while self.text[self.at : self.at + 1] in ("<", ">", "&", "|"):
                self.at += 1
            sign = self.text[start : self.at]
            self.shell.update(sign)
            if "<<" in sign:
                self.shell.add("<<")
            self.tokens.append((None, sign))
            self._target = True
            return
        self._end()
        self._target = False
        self.tokens.append((None, "\n" if character == "\n" else character))
        self._simple.append([])

    def _single(self) -> None:
        self._quoted = True
        end = self.text.find("'", self.at)
        if end < 0:
            self.shell.add("unclosed quote")
            end = len(self.text)
        self._within(self.text[self.at : end])
        self.at = end + 1

    def _double(self) -> None:
        self._quoted = True
        body: list[str] = []
        while True:
            if self.at >= len(self.text):
                self.shell.add("unclosed quote")
                break
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                break
            if character == "\\":
                self.shell.add("\\")
                following = self.text[self.at : self.at + 1]
                if following in ("$", "`", '"', "\\", "\n"):
                    self.at += 1
                    body.append("" if following == "\n" else following)
                    continue
            elif character in "$`":
                self.shell.add(character)
            body.append(character)
        self._within("".join(body))

    def _within(self, body: str) -> None:
        """The text between quotes: csh looks for ! there, and knows no line ends; fish knows backslashes."""
        for sign in "\\!":
            if sign in body:
                self.shell.add(sign)
        if "\n" in body:
            self.shell.add("newline")
        self._control(body)
        self._add(body)

    def _escape(self) -> None:
        self._quoted = True
        following = self.text[self.at : self.at + 1]
        self.at += 1
        if not following:
            self.shell.add("\\")
            self._add("\\")
        elif following == "\n":
            # sh joins the lines, csh makes a blank of it.
            self.shell.update(("\\", "newline"))
        else:
            if following.isalnum() or following == "!":
                # fish: \n is a line's end, \x3b a semicolon.
                self.shell.add("\\")
            self._control(following)
            self._add(following)

    def _plain(self, character: str) -> None:
        if self._pattern and character in "*?":
            self._wild = True
            self._add(ANY if character == "*" else ONE)
            return
        if character in _ANYWHERE:
            self.shell.add(character)
        elif character in "=%" and not any(self._word or ()):
            # zsh: =ls is /bin/ls, and so is ""=ls; csh and older fish: %1 is a job
            self.shell.add(character)
        else:
            self._control(character)
        self._add(character)

    def _control(self, text: str) -> None:
        # Not \r, \f, ... either: some shells split words there.
        if any((one < " " and one not in "\t\n") or one == "\x7f" for one in text):
            self.shell.add("control")

    def _look_at_first_words(self) -> None:
        for words in self._simple:
            if words and words[0] in RESERVED:
                self.shell.add("reserved word")
            if words and words[0].startswith("%"):
                # bash takes it for a job, in quotes, too.
                self.shell.add("%")
            if words and "=" in words[0]:
                self.shell.add("assignment")
