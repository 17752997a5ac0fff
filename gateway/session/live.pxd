# C structure for live.py; it also runs uncompiled. What an object keeps must be named here.
from libc.stdint cimport int64_t

cdef class LiveSession:
    cdef public object id
    cdef public object access
    cdef public object protocol
    cdef public double started
    cdef public object end
    cdef public int64_t operations
    cdef public int64_t denied
    cdef public int64_t rows
    cdef public int64_t size
    cdef public double last_active
    cdef public object expires
    cdef public object waits
    cdef public object gone
    cdef public object left
    cdef public object grant
    cdef public object runs_by
    cdef public object written
    cdef object __weakref__
