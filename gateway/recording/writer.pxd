# C types for writer.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef class Recorder:
    cdef public object session
    cdef public object descriptor
    cdef public object failed
    cdef public Py_ssize_t size
    cdef public object _recordings
    cdef public object _group
    cdef public object _clock
    cdef public object _write_bytes
    cdef public object _fd
    cdef public object _uuid
    cdef public object _on_failure
    cdef public object _break_glass
    cdef public bint _closed
    cdef public bint _touched
    cdef public object _last_operation
    cdef public bytes _chain
    cdef public long _events
    cdef public list _pending
    cdef public Py_ssize_t _pending_size
    cdef public list _gathered
    cdef public object _gathered_size
    cdef public object _rows
    cdef public object _rows_of
    cdef public long _blobs
    cpdef _usable(self)
    cpdef _queue(self, bytes frame, long events)
    cpdef _write(self)
    cpdef _touch(self)
    cdef object __weakref__
