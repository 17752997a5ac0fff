# C types for pipeline.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from libc.stdint cimport int64_t
from gateway.audit.log cimport AuditLog
from gateway.recording.writer cimport Recorder
from gateway.session.live cimport LiveSession

cdef class _Rendered:
    cdef public bytes constant
    cdef public tuple around
    cdef public bytes before
    cdef public bytes after

cdef class _Remembered:
    cdef public object operation
    cdef public object decision
    cdef public object refusal
    cdef public bint tainted
    cdef public bint synced
    cdef public bint allowed
    cdef public bint asks
    cdef public bint probes
    cdef public bint touches
    cdef public dict rendered

cdef class Corridor:
    cdef public object admitted
    cdef public LiveSession live
    cdef public object hidden
    cdef public object planner
    cdef public object policy
    cdef public object clock
    cdef public object _gate
    cdef public AuditLog _audit
    cdef public object rules
    cdef public object _limits
    cdef public Recorder _recorder
    cdef public object _random
    cdef public dict _decided
    cdef public int64_t _number
    cdef public bint _synced
    cdef public bint uncommitted
    cdef public object _recorded
    cdef public bint _closed
    cdef public object _probe_limit
    cpdef bint refresh(self) except -1
    @cython.locals(remembered=_Remembered, rendered=_Rendered, live=LiveSession, number=int64_t, now=double, constant=bytes)
    cpdef ask(self, operation, source, parameters=*, formats=*, text=*)
    cdef _refused(self, operation, _Remembered remembered, int64_t number, denial)
    cdef _Remembered _remember(self, operation)
    cdef _Rendered _render(self, _Remembered remembered, source)
    cdef _Remembered _decide(self, operation)
    cdef _Remembered _count(self, _Remembered remembered, int64_t number, parameters, formats)
    cdef _denial(self, _Remembered remembered, number)
    cpdef commit(self)
    @cython.locals(live=LiveSession, now=double)
    cpdef result(self, int64_t number, status, int64_t rows, int64_t size, tuple columns=*, tuple masked=*)
    cdef object __weakref__
