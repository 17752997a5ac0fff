# C structures for state.py; it also runs uncompiled.
cdef class Ask:
    cdef public str source
    cdef public bytes text
    cdef public bytes name
    cdef public bytes types
    cdef public tuple parameters
    cdef public tuple formats
    cdef public object portals

cdef class Result:
    cdef public object number
    cdef public str status
    cdef public object rows
    cdef public object size
    cdef public tuple columns
    cdef public tuple masked
    cdef public bint failed

cdef class Prepared:
    cdef public bytes name
    cdef public bytes text
    cdef public bytes types
    cdef public object verdict
    cdef public long segment
    cdef public Prepared previous
    cdef public bint confirmed

cdef class Portal:
    cdef public bytes name
    cdef public Prepared statement
    cdef public bytes unknown
    cdef public tuple parameters
    cdef public tuple formats
    cdef public long segment
    cdef public Portal previous
    cdef public bint confirmed
    cdef public object planner
    cdef public object plan
    cdef public bint planned
    cdef public tuple columns
    cdef public object operation
    cdef public bint unsure

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
