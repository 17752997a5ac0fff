# C types for contact.py; it also runs uncompiled.
cimport cython
cimport gateway.masking.detectors.shape as shape
from gateway.masking.detectors.found cimport Found
from gateway.masking.detectors.patterns cimport Whole
from gateway.masking.detectors.shape cimport Judge

cdef int _AT
cdef int _ZERO
cdef int _NINE
cdef bytes _VERSION

@cython.locals(at=Py_ssize_t, domain=Py_ssize_t, view="const unsigned char *", code="unsigned char")
cdef bint _is_email(bytes data, Py_ssize_t start, Py_ssize_t end) except -1

cdef class _Email(Judge):
    cpdef bint holds(self, bytes data, Found match) except -1

@cython.locals(digits=bytes, numbering=Whole)
cpdef tuple _international(bytes data, Py_ssize_t start, Py_ssize_t end)

@cython.locals(digits=bytes)
cpdef tuple _north_american(bytes data, Py_ssize_t start, Py_ssize_t end)

cpdef tuple _national(bytes data, Py_ssize_t start, Py_ssize_t end)

cdef bint _dialled(bytes text) except -1
