# C types for log.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef class AuditLog:
    cdef public object directory
    cdef public object failed
    cdef public bint lasting
    cdef public object _clock
    cdef public object _segment_size
    cdef public object _uid
    cdef public object _constant
    cdef public object _device
    cdef public list _buffer
    cdef public Py_ssize_t _buffered
    cdef public list _untold
    cdef public object _fd
    cdef public object _descriptor
    cdef public object _lock
    cdef public object sequence
    cdef public object flushed
    cdef public bytes _chain
    cdef public object _segment
    cdef public Py_ssize_t _size
    cdef public object _day_ends
    cpdef _append(self, object event, double now)
    cpdef flush(self)
    cdef object __weakref__
