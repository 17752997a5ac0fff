# C types for json_tokens.py; it also runs uncompiled, and then nobody reads this file.
cimport cython

cdef int _DOCUMENT
cdef int _VALUE
cdef int _FIRST_VALUE
cdef int _NEXT_KEY
cdef int _FIRST_KEY
cdef int _COLON
cdef int _AFTER

@cython.locals(
    view="const unsigned char *", numeric="const unsigned char *", size=Py_ssize_t, pos=Py_ssize_t, start=Py_ssize_t,
    table=bytes, byte="unsigned char", kind=int, key_start=Py_ssize_t, key_end=Py_ssize_t, tokens=list,
)
cpdef tuple scan(bytes data, int expected, bytearray stack, int wanted, bint ended)
