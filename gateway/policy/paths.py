"""Globs for paths: ``ssh.files`` of a policy.

Absolute, as operations have them. ``*`` and ``?`` stay within one name, ``**`` stands for any number of directories;
at the end for all that lies beneath. Not for the directory itself, but that its names may be listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.policy.globs import expression, is_glob

_Name = re.Pattern[str] | str
_TREE: Final = "**"


@dataclass(frozen=True, slots=True)
class PathGlob:
    """One glob; None among ``names`` stands for any number of them. ``beneath``: it ends in ``/**``.

    Names are walked one by one, so that no path makes it take long.
    """

    text: str
    names: tuple[_Name | None, ...]
    beneath: bool

    @classmethod
    def of(cls, text: str) -> PathGlob:
        """Raises ValueError("what is wrong; the mend")."""
        if not text.startswith("/"):
            raise ValueError("is not absolute; write it from the root of the target, such as /srv/app/**")
        parts = text.split("/")[1:] if text != "/" else []
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError("is not normalised; write it without `.`, `..`, double or trailing slashes")
        if any(_TREE in part and part != _TREE for part in parts):
            raise ValueError("has `**` within a name; write it for whole directories, such as /srv/**/*.log")
        beneath = parts[-1:] == [_TREE]
        names = tuple(None if part == _TREE else _name(part) for part in parts)
        return cls(text, (*names, _name("*")) if beneath else names, beneath)

    def match(self, path: str) -> bool:
        """Whether it stands for ``path``."""
        return len(self.names) in self._reached(path)

    def holds_tree(self, directory: str) -> bool:
        """Whether it stands for all that could lie beneath ``directory``."""
        return self.beneath and len(self.names) - 2 in self._reached(directory)

    def meets_tree(self, directory: str) -> bool:
        """Whether it stands for something that could lie beneath ``directory``."""
        return any(place < len(self.names) for place in self._reached(directory))

    def _reached(self, path: str) -> set[int]:
        """How many of ``names`` the whole of ``path`` can be for."""
        places = self._on({0})
        for part in path.split("/")[1:] if path != "/" else ():
            following: set[int] = set()
            for place in places:
                if place < len(self.names):
                    name = self.names[place]
                    if name is None:
                        following.add(place)
                    elif name == part if isinstance(name, str) else name.fullmatch(part):
                        following.add(place + 1)
            if not following:
                return following
            places = self._on(following)
        return places

    def _on(self, places: set[int]) -> set[int]:
        found = set(places)
        for place in sorted(places):
            while place < len(self.names) and self.names[place] is None:
                place += 1  # noqa: PLW2901  # any number of directories is none, too
                found.add(place)
        return found


def _name(part: str) -> _Name:
    return re.compile(expression(part), re.DOTALL) if is_glob(part) else part


@dataclass(frozen=True, slots=True)
class PathGlobs:
    """Some globs; their order and repetitions are forgotten.

    A path with a slash behind it is all that lies beneath it (`gateway.model.FileUse`).
    """

    globs: tuple[PathGlob, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> PathGlobs:
        return cls(tuple(PathGlob.of(text) for text in sorted(set(texts))))

    @classmethod
    def listing(cls, texts: Iterable[str]) -> PathGlobs:
        """As `of`, of what may be listed: where all beneath a directory is meant, its own names are, too."""
        texts = set(texts)
        return cls.of({*texts, *(text.removesuffix("/**") or "/" for text in texts if text.endswith("/**"))})

    def covers(self, path: str) -> bool:
        """Whether all that ``path`` stands for is meant by one of them."""
        directory = _tree(path)
        if directory is not None:
            return any(glob.holds_tree(directory) for glob in self.globs)
        return any(glob.match(path) for glob in self.globs)

    def meets(self, path: str) -> bool:
        """Whether something that ``path`` stands for is meant by one of them."""
        directory = _tree(path)
        if directory is not None:
            return any(glob.meets_tree(directory) for glob in self.globs)
        return any(glob.match(path) for glob in self.globs)

    def __str__(self) -> str:
        return ", ".join(glob.text for glob in self.globs)


def _tree(path: str) -> str | None:
    """The directory that ``path`` means all beneath of; None when it is one path."""
    return path[:-1] or "/" if path.endswith("/") and path != "/" else None
