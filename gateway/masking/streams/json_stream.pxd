# C types for json_stream.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef bytes _STRUCTURE
cdef int _OPEN_ARRAY
cdef int _OPEN_OBJECT
cdef int _COMMA

cdef class JsonStream:
    cdef object _detection
    cdef object _keyring
    cdef object _may_match
    cdef _Position _at
    cdef dict _makers
    cdef bytes _rest
    cdef object _expected
    cdef bytearray _stack
    cdef str _hint
    cdef object _long
    @cython.locals(out=list, tokens=list, wanted=int)
    cdef bytes _run(self, bytes data, bint ended)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t, pos=Py_ssize_t)
    cdef _detect(self, list out, bytes data, list tokens)
    cdef list _suspects(self, bytes data, list tokens)
    @cython.locals(part=bytes, index=Py_ssize_t, middle=Py_ssize_t)
    cdef list _suspected(self, bytes data, list tokens, Py_ssize_t low, Py_ssize_t high)
    @cython.locals(value=bytes)
    cdef bytes _detected(self, bytes raw, int kind)
    cdef _mask_text(self, bytes value)
    @cython.locals(
        suspect=Py_ssize_t, pos=Py_ssize_t, index=Py_ssize_t, token=int, kind=int, start=Py_ssize_t, end=Py_ssize_t,
        raw=bytes, value=bytes, view="const unsigned char *", shown=bytes, name=str, suspected=bint,
    )
    cdef _replace(self, list out, bytes data, list tokens, _Position at)
    cdef bytes _labelled(self, bytes raw, method)

cdef class _Position:
    cdef object _labels
    cdef frozenset _named
    cdef tuple _root
    cdef tuple _place
    cdef object _child
    cdef list _above
    cdef dict _places
    cdef dict _known
    cdef Py_ssize_t _count
    cdef key(self, str name)
    cdef step(self, int bracket)
    cdef method(self)
    cdef tuple _here(self)
    cdef _method(self, tuple place)
