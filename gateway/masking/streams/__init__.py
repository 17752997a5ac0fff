"""Masking of bytes that flow: what SSH shows and HTTP carries. Pure, sans-IO; feed, flush, close.

sequences     a terminal's escape sequences, told apart from its text
private_keys  private keys of any length, by a state machine
text          `TextStream`: windows over the text, what is held back, the rule of a flush
json_tokens   JSON into tokens, in chunks; compiled
json_stream   `JsonStream`: values by label and by detector, documents keep their shape
"""

from gateway.masking.streams.json_stream import JsonStream
from gateway.masking.streams.text import TextStream

__all__ = ["JsonStream", "TextStream"]
