# C types for detection.py; it also runs uncompiled.
cimport cython

cdef Py_ssize_t _SPARE

@cython.locals(
    view="const unsigned char *", target="unsigned char *", letters="const unsigned char *", out=bytearray,
    makers=dict, shown=bytes, capacity=Py_ssize_t, position=Py_ssize_t, written=Py_ssize_t, start=Py_ssize_t,
    end=Py_ssize_t, at=Py_ssize_t,
)
cdef bytes _masked(bytes data, list spans, keyring)
