from __future__ import annotations

from contextlib import suppress
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking.cells.written import null, stars

from gateway.masking.cells import xml_text
from gateway.masking.cells.parsing import Malformed

strings = st.lists(st.sampled_from(["hush", "a", "é", "<", ">", "&", '"', "'", " ", ";"]), max_size=4).map("".join)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> str:
    attributes = "".join(f" {name}={quoteattr(draw(strings))}" for name in draw(st.sets(st.sampled_from("xyz"))))
    content = escape(draw(strings))
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        content += draw(elements(depth - 1)) + escape(draw(strings))
    name = draw(st.sampled_from(["p", "ns:q"]))
    return f"<{name}{attributes}>{content}</{name}>"


def shown_as(element: ElementTree.Element) -> None:
    for inner in element.iter():
        inner.text = stars((inner.text or "").encode()).decode() or None
        inner.tail = stars((inner.tail or "").encode()).decode() or None
        for name, value in inner.attrib.items():
            inner.attrib[name] = stars(value.encode()).decode()


@given(inner=elements())
def test_texts_and_attributes(inner: str) -> None:
    document = f'<r xmlns:ns="n">{inner}</r>'.encode()
    expected = ElementTree.fromstring(document)
    shown_as(expected)
    shown = xml_text.rewrite(document, stars)
    assert ElementTree.tostring(ElementTree.fromstring(shown)) == ElementTree.tostring(expected)
    assert (shown is document) == (b"hush" not in document)


def test_what_stays_keeps_its_spelling() -> None:
    document = (
        b"<?xml version='1.0'?><a  b = 'x&#104;ush' c=\"&lt;\"><b/>t &amp; h&#x75;sh<![CDATA[hush]]> <!-- hush --></a >"
    )
    assert xml_text.rewrite(document, stars) == (
        b"<?xml version='1.0'?><a  b = 'x****' c=\"&lt;\"><b/>t &amp; ****<![CDATA[****]]> <!----></a >"
    )


def test_null_leaves_nothing() -> None:
    assert xml_text.rewrite(b"<a b='hush'>hush</a>", null) == b"<a b=''></a>"


def test_content_needs_no_root() -> None:
    assert xml_text.rewrite(b"hush<a/>hush", stars) == b"****<a/>****"


@pytest.mark.parametrize(
    "damaged",
    [b"<", b"<a", b"<a b>", b"<a b=c>", b"<a 'b'>", b"<!-- a", b"<!-- a -- b -->", b"<![CDATA[a", b"<?a", b"< a>",
     b"<!DOCTYPE a [<!ENTITY x 'hu'>]><a>&x;sh</a>", b"<?hush?>", b"<!DOCTYPE hush>", b"<a b='<'>", b"</a b>"],
)  # fmt: skip
def test_what_is_not_understood(damaged: bytes) -> None:
    with pytest.raises(Malformed):
        xml_text.rewrite(damaged, stars)


@given(noise=st.binary(max_size=60) | st.text("<>/!-[]CDAT?=\"'&#x;hus a", max_size=40).map(str.encode))
def test_noise_is_malformed_or_xml(noise: bytes) -> None:
    with suppress(Malformed):
        xml_text.rewrite(noise, null)
