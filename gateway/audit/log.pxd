# C types for log.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from libc.stdint cimport int64_t
cimport gateway._rendering as rendering

cdef class AuditLog:
    cdef public object directory
    cdef public object failed
    cdef public bint lasting
    cdef public object _clock
    cdef public Py_ssize_t _segment_size
    cdef public bytes _uid
    cdef public bytes _constant
    cdef public bytes _device
    cdef public list _buffer
    cdef public Py_ssize_t _buffered
    cdef public list _untold
    cdef public object _fd
    cdef public object _descriptor
    cdef public object _lock
    cdef public int64_t sequence
    cdef public int64_t flushed
    cdef public bytes _chain
    cdef public object _segment
    cdef public Py_ssize_t _size
    cdef public double _day_ends
    cpdef append_operation(self, bytes before, int64_t number, bytes after, double now)
    cdef _prepare(self, double now)
    @cython.locals(sequence=int64_t, line=bytes, size=Py_ssize_t)
    cdef _append(self, bytes before, int64_t number, bytes after, double now)
    @cython.locals(data=bytes, written=Py_ssize_t)
    cpdef flush(self)
    cdef object __weakref__
