# C structures for state.py; it also runs uncompiled. Those that come and go with each operation have free lists.
cimport cython

@cython.freelist(16)
cdef class Ask:
    cdef public str source
    cdef public bytes text
    cdef public bytes name
    cdef public bytes types
    cdef public tuple parameters
    cdef public tuple formats
    cdef public object portals
    cdef public str grant

@cython.freelist(16)
cdef class Result:
    cdef public object number
    cdef public str status
    cdef public object rows
    cdef public object size
    cdef public tuple columns
    cdef public tuple masked
    cdef public bint failed

cdef class Named:
    cdef public bytes name
    cdef public long segment
    cdef public bint confirmed

@cython.final
cdef class Prepared(Named):
    cdef public bytes text
    cdef public bytes types
    cdef public object verdict
    cdef public Prepared previous

@cython.final
cdef class Portal(Named):
    cdef public Prepared statement
    cdef public bytes unknown
    cdef public tuple parameters
    cdef public tuple formats
    cdef public Portal previous
    cdef public object planner
    cdef public object plan
    cdef public bint planned
    cdef public tuple columns
    cdef public object operation
    cdef public bint unsure
    cdef public str grant

@cython.freelist(64)
cdef class Sent:
    cdef public int kind
    cdef public object verdict
    cdef public Prepared statement
    cdef public Portal portal
    cdef public bint hidden
    cdef public object plan
    cdef public bint planned
    cdef public Py_ssize_t rows
    cdef public Py_ssize_t size
    cdef public tuple columns
    cdef public long segment
    cdef public long copies_ended
    cdef public bint copying
    cdef public object copy
