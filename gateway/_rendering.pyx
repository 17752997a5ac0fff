"""rendering.py in C: one allocation and one pass for each frame or line, and SHA-256 without EVP around it.

OpenSSL calls these functions deprecated because they know no providers; the code behind them is the same.
Every buffer is as long as the most that can be written into it: the pieces' lengths, and `DIGITS` for each number.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "openssl/sha.h" nogil:
    ctypedef struct SHA256_CTX:
        pass
    int SHA256_Init(SHA256_CTX *context)
    int SHA256_Update(SHA256_CTX *context, const void *data, size_t size)
    int SHA256_Final(unsigned char *digest, SHA256_CTX *context)


cdef enum:
    CHAIN = 32
    FIELDS = 16
    PREFIX = 20
    DIGITS = 20
    MAX_SIZE = 0x7FFFFFFF
    MAX_COUNT = 0xFFFF
    # rendering.py's
    PLAIN = 4096
    NO_NUMBER = -1


# CRC-32 by half bytes (IEEE 802.3, reflected): 64 bytes of table; 16 bytes of input are not worth more.
cdef uint32_t[16] HALVES = [
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
]
cdef const char *HEX = b"0123456789abcdef"


cdef uint32_t _crc32(const unsigned char *data, int size) noexcept nogil:
    cdef uint32_t crc = ~(<uint32_t>0)
    cdef int at
    for at in range(size):
        crc = HALVES[(crc ^ data[at]) & 15] ^ (crc >> 4)
        crc = HALVES[(crc ^ (data[at] >> 4)) & 15] ^ (crc >> 4)
    return ~crc


cdef void _put_big_endian(unsigned char *to, uint64_t value, int size) noexcept nogil:
    while size:
        size -= 1
        to[size] = value & 0xFF
        value >>= 8


cdef char *_put(char *to, bytes piece) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
    memcpy(to, PyBytes_AS_STRING(piece), size)
    return to + size


cdef char *_put_text(char *to, const char *text, Py_ssize_t size) noexcept nogil:
    memcpy(to, text, size)
    return to + size


cdef char *_put_number(char *to, int64_t number) noexcept nogil:
    cdef char[DIGITS] reversed
    cdef uint64_t value = <uint64_t>number
    cdef int size = 0
    if number < 0:
        to[0] = c"-"
        to += 1
        value = 0 - value
    while True:
        reversed[size] = 48 + <char>(value % 10)
        size += 1
        value //= 10
        if not value:
            break
    while size:
        size -= 1
        to[0] = reversed[size]
        to += 1
    return to


cdef bytes _link(bytes chain, const char *body, Py_ssize_t size):
    cdef SHA256_CTX context
    cdef bytes after = PyBytes_FromStringAndSize(NULL, CHAIN)
    if not (
        SHA256_Init(&context)
        and SHA256_Update(&context, PyBytes_AS_STRING(chain), PyBytes_GET_SIZE(chain))
        and SHA256_Update(&context, body, size)
        and SHA256_Final(<unsigned char *>PyBytes_AS_STRING(after), &context)
    ):
        raise RuntimeError("SHA-256 failed")
    return after


cpdef tuple frame(bytes chain, int kind, int flags, int64_t count, int64_t number, bytes payload):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    if size > MAX_SIZE or not 0 <= count <= MAX_COUNT or number < 0 or not 0 <= kind <= 255 or not 0 <= flags <= 255:
        raise ValueError("no frame can hold that")
    cdef bytes out = PyBytes_FromStringAndSize(NULL, PREFIX + size + CHAIN)
    cdef char *body = PyBytes_AS_STRING(out)
    cdef unsigned char *fields = <unsigned char *>body
    _put_big_endian(fields, size, 4)
    fields[4] = kind
    fields[5] = flags
    _put_big_endian(fields + 6, count, 2)
    _put_big_endian(fields + 8, number, 8)
    _put_big_endian(fields + FIELDS, _crc32(fields, FIELDS), 4)
    _put(body + PREFIX, payload)
    cdef bytes after = _link(chain, body, PREFIX + size)
    _put(body + PREFIX + size, after)
    return out, after


cpdef tuple audit_line(
    bytes chain, int64_t sequence, bytes uid, bytes constant, int64_t millisecond, bytes device, bytes before,
    int64_t number, bytes after,
):
    cdef Py_ssize_t most = (
        24 + 4 * (DIGITS + 1) + PyBytes_GET_SIZE(uid) + PyBytes_GET_SIZE(constant) + PyBytes_GET_SIZE(device)
        + PyBytes_GET_SIZE(before) + PyBytes_GET_SIZE(after) + 10 + 2 * CHAIN + 4
    )
    cdef bytes out = PyBytes_FromStringAndSize(NULL, most)
    cdef char *body = PyBytes_AS_STRING(out)
    cdef char *to = _put_text(body, b'{"metadata":{"sequence":', 24)
    to = _put(_put_number(to, sequence), uid)
    to = _put(_put_number(to, sequence), constant)
    to = _put(_put_number(to, millisecond), device)
    to = _put(to, before)
    if number != NO_NUMBER:
        to = _put_number(to, number)
    to = _put(to, after)
    cdef bytes link = _link(chain, body, to - body)
    cdef const unsigned char *digest = <const unsigned char *>PyBytes_AS_STRING(link)
    cdef int at
    to = _put_text(to, b',"chain":"', 10)
    for at in range(CHAIN):
        to[0] = HEX[digest[at] >> 4]
        to[1] = HEX[digest[at] & 15]
        to += 2
    to = _put_text(to, b'"}}\n', 4)
    return PyBytes_FromStringAndSize(body, to - body), link


cpdef bytes operation_event(bytes time, int64_t number, bytes constant, bytes parameters):
    cdef Py_ssize_t extra = PyBytes_GET_SIZE(parameters)
    cdef Py_ssize_t most = (
        28 + PyBytes_GET_SIZE(time) + 13 + DIGITS + 1 + 1 + PyBytes_GET_SIZE(constant) + 14 + extra + 2
    )
    cdef bytes out = PyBytes_FromStringAndSize(NULL, most)
    cdef char *line = PyBytes_AS_STRING(out)
    cdef char *to = _put(_put_text(line, b'{"event":"operation","time":', 28), time)
    to = _put_number(_put_text(to, b',"operation":', 13), number)
    to = _put(_put_text(to, b",", 1), constant)
    if extra:
        to = _put(_put_text(to, b',"parameters":', 14), parameters)
    to = _put_text(to, b"}\n", 2)
    return PyBytes_FromStringAndSize(line, to - line)


cpdef bytes result_event(bytes time, int64_t number, bytes status, int64_t rows, int64_t size, bytes columns):
    cdef Py_ssize_t most = (
        25 + PyBytes_GET_SIZE(time) + 13 + 10 + PyBytes_GET_SIZE(status) + 8 + 8 + 3 * (DIGITS + 1)
        + PyBytes_GET_SIZE(columns) + 2
    )
    cdef bytes out = PyBytes_FromStringAndSize(NULL, most)
    cdef char *line = PyBytes_AS_STRING(out)
    cdef char *to = _put(_put_text(line, b'{"event":"result","time":', 25), time)
    to = _put_number(_put_text(to, b',"operation":', 13), number)
    to = _put(_put_text(to, b',"status":', 10), status)
    to = _put_number(_put_text(to, b',"rows":', 8), rows)
    to = _put_number(_put_text(to, b',"size":', 8), size)
    to = _put_text(_put(to, columns), b"}\n", 2)
    return PyBytes_FromStringAndSize(line, to - line)


cpdef bytes plain_texts(values):
    cdef Py_ssize_t most = 2, size = 0, at
    cdef bytes value
    cdef const unsigned char *text
    for item in values:
        if item is None:
            return b""
        value = item
        most += PyBytes_GET_SIZE(value) + 3
        size += PyBytes_GET_SIZE(value)
        if size > PLAIN:
            return b""
        text = <const unsigned char *>PyBytes_AS_STRING(value)
        for at in range(PyBytes_GET_SIZE(value)):
            if not 32 <= text[at] < 127 or text[at] == c'"' or text[at] == c"\\":
                return b""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, most)
    cdef char *line = PyBytes_AS_STRING(out)
    cdef char *to = _put_text(line, b"[", 1)
    for item in values:
        if to - line > 1:
            to = _put_text(to, b",", 1)
        value = item
        to = _put_text(_put(_put_text(to, b'"', 1), value), b'"', 1)
    to = _put_text(to, b"]", 1)
    return PyBytes_FromStringAndSize(line, to - line)
