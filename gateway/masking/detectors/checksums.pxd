# C types for checksums.py; it also runs uncompiled.
cimport cython

cdef int _ZERO
cdef int _A
cdef int _TEN

@cython.locals(view="const unsigned char *", total=int, doubled=int, at=Py_ssize_t, digit=int)
cpdef bint luhn(bytes digits)

@cython.locals(moved=bytes, view="const unsigned char *", rest=int, at=Py_ssize_t, code=int)
cpdef bint mod97(bytes text)
