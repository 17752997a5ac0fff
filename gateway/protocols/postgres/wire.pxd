# C types for what relay.py calls for each message; wire.py also runs uncompiled.
cimport cython
from libc.stdint cimport int64_t

cdef Py_ssize_t FEW

@cython.locals(value=int)
cdef int _int16(const unsigned char *view, Py_ssize_t pos) noexcept
@cython.locals(value=int64_t)
cdef int64_t _int32(const unsigned char *view, Py_ssize_t pos) noexcept
@cython.locals(view="const unsigned char *", end=Py_ssize_t, at=Py_ssize_t)
cdef Py_ssize_t _end_of_cstring(bytes data, Py_ssize_t pos) except -1
@cython.locals(view="const unsigned char *", size=Py_ssize_t, end=Py_ssize_t)
cdef Py_ssize_t _end_of_int16s(bytes body, Py_ssize_t pos) except -1
@cython.locals(
    view="const unsigned char *", size=Py_ssize_t, start=Py_ssize_t, pos=Py_ssize_t, stop=Py_ssize_t, count=int,
    length=int64_t, formats=list, parameters=list,
)
cpdef tuple parse_bind(bytes body)
@cython.locals(end=Py_ssize_t)
cpdef tuple read_cstring(bytes data, Py_ssize_t pos)
@cython.locals(view="const unsigned char *", size=Py_ssize_t)
cpdef tuple parse_target_of(bytes body)
@cython.locals(view="const unsigned char *", end=Py_ssize_t)
cpdef bytes parse_execute(bytes body)
