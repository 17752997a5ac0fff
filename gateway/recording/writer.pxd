# C types for writer.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from libc.stdint cimport int64_t
cimport gateway.recording.events as lines
cimport gateway._rendering as rendering

cdef class Recorded:
    cdef readonly object session
    cdef readonly int64_t number

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
    cdef public int64_t _last_operation
    cdef public bytes _chain
    cdef public int64_t _events
    cdef public list _pending
    cdef public Py_ssize_t _pending_size
    cdef public list _gathered
    cdef public Py_ssize_t _gathered_size
    cdef public bytearray _rows
    cdef public object _rows_of
    cdef public double _rows_time
    cdef public object _packing
    cdef public long _blobs
    cdef public object _columns
    cdef public object _masked
    cdef public bytes _shown
    cdef public str _status
    cdef public bytes _status_line
    @cython.locals(line=bytes)
    cpdef rendered_operation(self, double time, int64_t number, bytes constant, parameters, formats)
    @cython.locals(line=bytes)
    cpdef ended(self, double time, int64_t number, str status, columns, masked, int64_t rows, int64_t size)
    cpdef commit(self)
    cdef _gather(self, bytes line, dict kept)
    cdef _write_gathered(self)
    cdef _write_output(self, tuple source, double time, bytearray data)
    cdef _pack(self, object packer)
    cdef _settle(self, Py_ssize_t most)
    cdef _append_compressed(self, int kind, bytes payload, int64_t events, object compressor=*)
    @cython.locals(frame=bytes)
    cdef _append(self, int kind, bytes payload, int64_t events, int flags)
    cdef _usable(self)
    cdef _queue(self, bytes frame, int64_t events)
    @cython.locals(data=bytes)
    cdef _write(self)
    cdef _touch(self)
    cdef object __weakref__
