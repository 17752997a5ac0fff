# C types for reading.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from gateway.protocols.postgres.state cimport Ask
from gateway.session.pipeline cimport Corridor

cdef class _Read:
    cdef public object operation
    cdef public object analysis
    cdef public bint plain

cdef class Reading:
    cdef public object _readings
    cdef public Corridor _corridor
    cdef public object _database
    cdef public object _generation
    cdef public object _rules
    cdef public object _labelled
    cdef public object _planner
    cdef public dict _understood
    cdef public dict _alike
    cdef public object said
    cdef public object _prepared
    cdef public object _cursors
    cdef public object _remembered
    cdef public object _long
    cdef public _Read _last
    cdef public object _unsure_names
    cdef public bint changes_catalogue
    cdef public bint unrestricted
    cdef public bint searches
    cdef bint _current(self) except -1
    @cython.locals(read=_Read, shape=bytes)
    cpdef read(self, Ask ask, bytes encoding)
    @cython.locals(read=_Read)
    cpdef asked(self, Ask ask, verdict)
    cdef object __weakref__
