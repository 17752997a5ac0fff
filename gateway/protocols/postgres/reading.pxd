# C types for reading.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef class Reading:
    cdef public object _readings
    cdef public object _corridor
    cdef public object _database
    cdef public object _generation
    cdef public object _rules
    cdef public object _labelled
    cdef public object _planner
    cdef public dict _understood
    cdef public object _prepared
    cdef public object _cursors
    cdef public object _remembered
    cdef public object _long
    cdef public object _last
    cdef public object _unsure_names
    cdef public bint changes_catalogue
    cdef public bint unrestricted
    cpdef _current(self)
    cdef object __weakref__
