from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import FileUse, SshOperation
from gateway.protocols.ssh import operation as made
from gateway.shell import MAX_COMMAND


def test_a_command_is_its_words() -> None:
    asked = made.execute(b"  /usr/bin/deploy   'a b' --token=x ", 3)
    assert (asked.kind, asked.request) == ("ssh", "exec")
    assert asked.verbs == {"exec"}
    assert asked.argv == ("/usr/bin/deploy", "a b", "--token=x")
    assert asked.shell == frozenset()
    assert asked.text == "  /usr/bin/deploy   'a b' --token=x ", "evidence, as it came"
    assert asked.normalised == "/usr/bin/deploy 'a b' --token=****"
    assert asked.digest == sha256(b"exec\0" + asked.normalised.encode()).hexdigest()
    assert (asked.opaque, asked.unshown, asked.channel) == (None, None, 3)


def test_what_a_shell_would_make_of_it_is_named() -> None:
    asked = made.execute(b"cd /srv &&  rm  -rf x")
    assert asked.shell == {"&"}
    assert asked.argv is None
    assert asked.opaque is None
    assert asked.normalised == "cd /srv & & rm -rf x"
    assert made.execute(b"echo  $HOME").normalised == "echo $HOME"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"a\0b", "NUL"),
        (b"a \xff", "UTF-8"),
        (b"a" * (MAX_COMMAND + 1), "more than 32768 characters"),
    ],
)
def test_what_nobody_can_be_sure_of_is_opaque(raw: bytes, why: str) -> None:
    asked = made.execute(raw)
    assert why in (asked.opaque or "")
    assert asked.unshown == asked.opaque
    assert asked.argv is None
    assert asked.text.encode("utf-8", "surrogateescape") == raw


def test_the_old_scp_protocol_is_scp() -> None:
    asked = made.execute(b"scp -r -t /srv")
    assert asked.request == "scp"
    assert asked.verbs == {"scp"}
    assert asked.argv == ("scp", "-r", "-t", "/srv")
    assert made.execute(b"scp -r -t /srv; id").request == "exec"


def test_subsystems() -> None:
    assert made.subsystem("sftp").request == "sftp"
    netconf = made.subsystem("netconf", 1)
    assert (netconf.request, netconf.subsystem, netconf.text) == ("subsystem", "netconf", "subsystem netconf")
    for name in ("", "SFTP\n", "a b", "sftp\0", "é"):
        assert made.subsystem(name).request == "subsystem"
        assert made.subsystem(name).opaque
    assert made.subsystem("SFTP").request == "subsystem", "names are compared exactly"


def test_actions_on_files() -> None:
    uses = (FileUse("write", "/a"), FileUse("write", "/b"))
    asked = made.file("sftp", "rename /a /b", uses, 2)
    assert asked.verbs == {"file", "sftp", "write"}
    assert (asked.request, asked.files, asked.opaque) == ("file", uses, None)


@pytest.mark.parametrize(
    "paths",
    [[], ["relative"], ["/a", "/b/../c"], ["/a//b"], ["/a//"], ["///"], ["None/"], ["//a"], ["/a/."], ["/a\0b"], [""]],
)
def test_a_path_that_is_not_in_its_one_spelling_is_opaque(paths: list[str]) -> None:
    assert made.file("scp", "read", [FileUse("read", path) for path in paths]).opaque is not None


@pytest.mark.parametrize(
    ("path", "normalised"),
    [
        ("/", "/"),
        ("/a/../..", "/"),
        ("//a///b/", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/..a/b..", "/..a/b.."),
        ("", None),
        ("a", None),
        ("~/a", None),
        ("/a\0", None),
    ],
)
def test_normalised_paths(path: str, normalised: str | None) -> None:
    assert made.normalised_path(path) == normalised


def test_a_path_may_stand_for_all_beneath_it() -> None:
    for path in ("/", "//", "/srv/", "/srv/a/"):
        assert made.file("sftp", "rename", [FileUse("write", path)]).opaque is None


@given(st.text(alphabet="/.ab"))
def test_a_normalised_path_stays_as_it_is(path: str) -> None:
    found = made.normalised_path("/" + path)
    assert found is not None
    assert found.startswith("/")
    assert made.normalised_path(found) == found
    assert not {"..", "."} & set(found.split("/"))


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("DB.Internal.", "db.internal:22"),
        ("10.0.0.1", "10.0.0.1:22"),
        ("127.1", "127.0.0.1:22"),
        ("0x7f000001", "127.0.0.1:22"),
        ("2130706433", "127.0.0.1:22"),
        ("0177.0.0.1", "127.0.0.1:22"),
        ("0", "0.0.0.0:22"),
        ("::1", "[::1]:22"),
        ("[::1]", "[::1]:22"),
        ("0:0:0:0:0:0:0:1", "[::1]:22"),
        ("::ffff:127.0.0.1", "127.0.0.1:22"),
        ("256.1.1.1.1", None),
        ("1.2.3.256", None),
        ("09.1.1.1", None),
        ("fe80::1%eth0", None),
        ("", None),
        ("a b", None),
        ("a:b", None),
        ("a\0b", None),
        ("a/b", None),
        ("ä", None),
        ("a*", None),
        ("*", None),
        ("db.internal..", None),
        ("10.0.0.1..", None),
        (".", None),
    ],
)
def test_one_spelling_of_a_destination(host: str, where: str | None) -> None:
    assert made.destination(host, 22) == where
    asked = made.forward_local(host, 22, 1)
    assert (asked.opaque is None) == (where is not None)
    assert where is None or (asked.destination, asked.text) == (where, f"forward_local {where}")


def test_ports_are_ports() -> None:
    assert [made.destination("a", port) for port in (-1, 0, 65535, 65536)] == [None, "a:0", "a:65535", None]


def test_listening_everywhere_is_one_thing() -> None:
    assert {made.forward_remote(host, 80).destination for host in ("", "*", "0.0.0.0", "::")} == {"*:80"}
    assert made.forward_remote("localhost", 80).destination == "localhost:80"
    assert made.forward_remote("a b", 80).opaque


def test_sockets_have_absolute_paths() -> None:
    assert made.forward_local_socket("/run/../run/x").destination == "/run/x"
    assert made.forward_remote_socket("/run/x").request == "forward_remote"
    assert made.forward_local_socket("run/x").opaque
    assert made.forward_local_socket("").opaque


@pytest.mark.parametrize(
    ("variable", "value", "verbs"),
    [
        ("LANG", "de_CH.UTF-8", {"locale"}),
        ("LC_ALL", "C", {"locale"}),
        ("TERM", "xterm-256color", {"locale"}),
        ("TERM", "", {"locale"}),
        ("TERM", "../../tmp/evil", {"env"}),
        ("LANG", "/tmp/evil", {"env"}),
        ("LANG", "() { :; }; id", {"env"}),
        ("LANG\n", "C", {"env"}),
        ("LC_", "C", {"env"}),
        ("lang", "C", {"env"}),
        ("LD_PRELOAD", "x", {"env"}),
    ],
)
def test_only_language_and_terminal_are_harmless(variable: str, value: str, verbs: set[str]) -> None:
    assert made.environment(variable, value).verbs == verbs


def test_a_variables_value_is_evidence_only() -> None:
    asked = made.environment("APP_TOKEN", "secret")
    assert (asked.text, asked.normalised, asked.variable) == ("env APP_TOKEN=secret", "env APP_TOKEN", "APP_TOKEN")
    assert made.environment("A=B", "x").opaque
    assert made.environment("", "x").opaque


def test_different_requests_have_different_digests() -> None:
    asked = [
        made.shell(), made.agent(), made.x11(), made.subsystem("shell"), made.execute(b"shell"), made.subsystem("a"),
        made.execute(b"subsystem a"), made.execute(b"scp -t a"), made.forward_local("a", 1),
        made.forward_remote("a", 1),
    ]  # fmt: skip
    assert len({one.digest for one in asked}) == len(asked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shell", made.shell()),
        ("agent", made.agent()),
        ("x11", made.x11()),
        ("sftp", made.subsystem("sftp")),
        ("scp", made.execute(b"scp -t -- /")),
        ("exec /usr/bin/deploy prod", made.execute(b"/usr/bin/deploy prod")),
        ("exec  a", made.execute(b" a")),
        ("subsystem netconf", made.subsystem("netconf")),
        ("read /etc/../etc/passwd", made.file("sftp", "read /etc/passwd", [FileUse("read", "/etc/passwd")])),
        ("scp write /srv", made.file("scp", "write /srv", [FileUse("write", "/srv")])),
        ("forward db:5432", made.forward_local("db", 5432)),
        ("forward [::1]:22", made.forward_local("::1", 22)),
        ("forward /run/x", made.forward_local_socket("/run/x")),
        ("forward_remote localhost:8080", made.forward_remote("localhost", 8080)),
        ("env LANG=C", made.environment("LANG", "C")),
    ],
)
def test_requests_as_people_write_them(text: str, expected: SshOperation) -> None:
    assert made.written(text) == expected


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("", "write shell"),
        ("exec", "write shell"),
        ("shell now", "write shell"),
        ("read etc/motd", "from the root"),
        ("forward db", "db.internal:5432"),
        ("forward db:ssh", "db.internal:5432"),
        ("forward_remote x:999999", "db.internal:5432"),
    ],
)
def test_what_is_no_request_says_how_to_write_one(text: str, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        made.written(text)


@given(st.binary(max_size=60), st.text(max_size=20), st.integers(-5, 70_000))
def test_nothing_that_comes_raises(raw: bytes, text: str, port: int) -> None:
    found: list[Any] = [
        made.execute(raw), made.subsystem(text), made.forward_local(text, port), made.forward_remote(text, port),
        made.forward_local_socket(text), made.environment(text, text), made.file("sftp", text, [FileUse("read", text)]),
    ]  # fmt: skip
    for one in found:
        assert one.verbs
        assert one.text is not None
