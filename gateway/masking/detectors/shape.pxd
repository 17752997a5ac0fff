# C types for shape.py; it also runs uncompiled.
cimport cython
from gateway.masking.detectors.found cimport Found

cdef bytes _CLASSES
cdef int _OTHER
cdef int _LETTER
cdef int _DIGIT
cdef int _JOINT

@cython.locals(
    table=bytes, classes="const unsigned char *", view="const unsigned char *", out=bytearray, kept="unsigned char *",
    size=Py_ssize_t, at=Py_ssize_t,
)
cpdef bytes digits(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef bint alone(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef bint begins(bytes data, Py_ssize_t start)
cpdef bint ends(bytes data, Py_ssize_t end)

@cython.locals(
    table=bytes, classes="const unsigned char *", view="const unsigned char *", found="unsigned char",
)
cdef bint _is_beside(bytes data, Py_ssize_t at, Py_ssize_t beyond)

cdef class Judge:
    cdef object _check
    cpdef bint holds(self, bytes data, Found match) except -1
