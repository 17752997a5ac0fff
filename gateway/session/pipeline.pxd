# C types for pipeline.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef class Corridor:
    cdef public object admitted
    cdef public object live
    cdef public object hidden
    cdef public object planner
    cdef public object policy
    cdef public object clock
    cdef public object _gate
    cdef public object _rules
    cdef public object _limits
    cdef public object _recorder
    cdef public object _random
    cdef public dict _decided
    cdef public long _number
    cdef public bint _synced
    cdef public bint uncommitted
    cdef public object _recorded
    cdef public bint _closed
    cdef object __weakref__
