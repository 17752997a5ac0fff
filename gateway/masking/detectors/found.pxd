# C types for found.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef Py_ssize_t _ROOM

cdef class Found:
    cdef readonly Py_ssize_t count
    cdef readonly bint apart
    cdef public Py_ssize_t start
    cdef public Py_ssize_t end
    cdef Py_ssize_t _behind
    cdef object _room
    cdef Py_ssize_t _size
    cdef long long[::1] items

    @cython.locals(at=Py_ssize_t)
    cpdef add(self, Py_ssize_t start, Py_ssize_t end, Py_ssize_t detector)

    cdef _grow(self)

    @cython.locals(at=Py_ssize_t, items="long long[::1]", found=list)
    cpdef list values(self)
