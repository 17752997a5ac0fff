# C types for numbers.py; it also runs uncompiled.
cimport cython
cimport gateway.masking.detectors.checksums as checksums
cimport gateway.masking.detectors.shape as shape

cdef bytes _LENGTHS
cdef int _SHORTEST
cdef int _ZERO

@cython.locals(digits=bytes, size=Py_ssize_t, view="const unsigned char *", issuer=int)
cpdef tuple _card(bytes data, Py_ssize_t start, Py_ssize_t end)
cpdef tuple _bare_card(bytes data, Py_ssize_t start, Py_ssize_t end)
@cython.locals(text=bytes, gap=Py_ssize_t)
cpdef tuple _ssn(bytes data, Py_ssize_t start, Py_ssize_t end)
@cython.locals(compact=bytes, length=Py_ssize_t, seen=Py_ssize_t, at=Py_ssize_t)
cpdef tuple _iban(bytes data, Py_ssize_t start, Py_ssize_t end)
