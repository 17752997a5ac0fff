# C types for rows.py. Without Cython nobody reads this file; rows.py says what may be written there.
cimport cython
from libc.stdint cimport int64_t, uint32_t

cdef extern from *:
    """
    typedef const unsigned char *__restrict ostiary_source;
    typedef unsigned char *__restrict ostiary_target;
    """
    ctypedef const unsigned char *source "ostiary_source"
    ctypedef unsigned char *target "ostiary_target"

cdef Py_ssize_t _DATA_ROW
cdef Py_ssize_t _HEADER
cdef Py_ssize_t _SPARE
cdef Py_ssize_t _ROOM

@cython.locals(first=uint32_t, second=uint32_t, third=uint32_t, fourth=uint32_t, value=int64_t)
cdef int64_t _int32(const unsigned char *view, Py_ssize_t pos) noexcept

@cython.locals(offset=Py_ssize_t)
cdef void _copy(target room, Py_ssize_t at, source view, Py_ssize_t pos, Py_ssize_t size) noexcept

cpdef bytes framed(bytes value)

cdef void _put_int32(unsigned char *room, Py_ssize_t at, int64_t value) noexcept

@cython.locals(view="const unsigned char *", available=Py_ssize_t, length=int64_t)
cpdef tuple next_message(bytes data, Py_ssize_t pos)

@cython.locals(view="const unsigned char *", stop=Py_ssize_t, count=Py_ssize_t, length=int64_t)
cpdef tuple skip_rows(bytes data, Py_ssize_t pos, int kind)

@cython.locals(
    view="const unsigned char *", target="unsigned char *", value="const unsigned char *",
    replaced="unsigned char *", places="unsigned char *", out=bytearray, marks=bytearray, read=bytearray,
    values=bytearray, frame=bytes, place=Py_ssize_t, past=Py_ssize_t, grown=Py_ssize_t,
    columns=Py_ssize_t, growth=Py_ssize_t, capacity=Py_ssize_t, written=Py_ssize_t,
    length=int64_t, size=int64_t, stop=Py_ssize_t, start=Py_ssize_t, run=Py_ssize_t, row=Py_ssize_t,
    index=Py_ssize_t, offset=Py_ssize_t,
)
cpdef bytes mask_rows(bytes data, Py_ssize_t pos, Py_ssize_t end, tuple plan)

@cython.locals(
    view="const unsigned char *", target="unsigned char *", judged="const unsigned char *",
    value="const unsigned char *", out=bytearray, verdicts=bytes, found=bytes, look=tuple,
    columns=Py_ssize_t, most=Py_ssize_t, capacity=Py_ssize_t, written=Py_ssize_t, begin=Py_ssize_t, shortest=Py_ssize_t,
    length=int64_t, size=int64_t, stop=Py_ssize_t, index=Py_ssize_t, offset=Py_ssize_t,
    bad="unsigned char", whole=bint,
)
cpdef tuple gather(
    bytes data, Py_ssize_t pos, Py_ssize_t end, tuple looks, Py_ssize_t most_rows, Py_ssize_t most_bytes
)

@cython.locals(
    view="const unsigned char *", target="unsigned char *", out=bytearray, capacity=Py_ssize_t, written=Py_ssize_t,
    count=Py_ssize_t, stop=Py_ssize_t, size=int64_t, _index=Py_ssize_t,
)
cpdef tuple column(bytes data, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t wanted)
