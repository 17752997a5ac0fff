# C types for detection.py; it also runs uncompiled.
cimport cython
from gateway.masking.detectors.found cimport Found

cdef Py_ssize_t _SPARE

@cython.locals(
    view="const unsigned char *", target="unsigned char *", letters="const unsigned char *", out=bytearray,
    makers=dict, items="long long[::1]", place=Py_ssize_t, made_for=Py_ssize_t, shown=bytes, capacity=Py_ssize_t, position=Py_ssize_t, written=Py_ssize_t, start=Py_ssize_t,
    end=Py_ssize_t, at=Py_ssize_t,
)
cdef bytes _masked(bytes data, Found found, list methods, keyring)
