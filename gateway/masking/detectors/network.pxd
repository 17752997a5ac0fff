# C types for network.py; it also runs uncompiled.
cimport cython
from gateway.masking.detectors.patterns cimport AtEnd

cdef AtEnd _VERSION

@cython.locals(after="unsigned char")
cpdef tuple _ipv4(bytes data, Py_ssize_t start, Py_ssize_t end)
