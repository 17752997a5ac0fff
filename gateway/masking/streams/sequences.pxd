# C types for sequences.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef bytes _SPECIAL

cdef class Sequence:
    cdef readonly bytes data
    cdef readonly Py_ssize_t begin
    cdef readonly Py_ssize_t end
    cdef readonly bint holds_text

cdef class Splitter:
    cdef bytes _rest
    cdef dict _known
    @cython.locals(
        texts=list, sequences=list, size=Py_ssize_t, pos=Py_ssize_t, search=Py_ssize_t, start=Py_ssize_t,
        stop=Py_ssize_t, raw=bytes, view="const unsigned char *",
    )
    cdef tuple _split(self, bytes data, bint ended)
    cdef _learnt(self, sequence)

@cython.locals(view="const unsigned char *", special="const unsigned char *", table=bytes, end=Py_ssize_t)
cdef Py_ssize_t _begin(bytes data, Py_ssize_t search) except -2

@cython.locals(view="const unsigned char *", end=Py_ssize_t, pos=Py_ssize_t)
cdef Py_ssize_t _short_csi(bytes data, Py_ssize_t start) except -2
