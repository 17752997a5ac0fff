# C types for text.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from gateway.masking.streams.sequences cimport Sequence

cdef class TextStream:
    cdef object _finder
    cdef dict _methods
    cdef dict _makers
    cdef object _keys
    cdef object _splitter
    cdef Py_ssize_t _phrase
    cdef Py_ssize_t _longest
    cdef bytes _text
    cdef Py_ssize_t _out
    cdef Py_ssize_t _searched
    cdef list _spans
    cdef list _offsets
    cdef list _sequences
    cdef Py_ssize_t _given
    cdef Py_ssize_t _run
    cdef set _known
    cdef bint _quiet
    @cython.locals(
        text=bytes, shown=bytes, sequences=list, keys=list, pieces=list, before=Py_ssize_t, pos=Py_ssize_t,
        taken=Py_ssize_t, run=Py_ssize_t, offset=Py_ssize_t, sequence=Sequence,
    )
    cdef _add(self, part)
    @cython.locals(key=Py_ssize_t)
    cdef _hide_keys(self, list keys, Py_ssize_t before, Py_ssize_t begin, Py_ssize_t end)
    @cython.locals(data=bytes)
    cdef bytes _searched_sequence(self, Sequence sequence)
    @cython.locals(
        first=Py_ssize_t, last=Py_ssize_t, pieces=list, spaces=list, pos=Py_ssize_t, number=Py_ssize_t,
        offset=Py_ssize_t, view="const unsigned char *",
    )
    cdef list _views(self, Py_ssize_t begin, Py_ssize_t end)
    @cython.locals(offsets=list, sequences=list, view="const unsigned char *", given=Py_ssize_t, offset=Py_ssize_t)
    cdef _show(self, list parts, Py_ssize_t pos, Py_ssize_t end, bint beyond)
    cdef _show_sequences(self, list parts, Py_ssize_t end)
