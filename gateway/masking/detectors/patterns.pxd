# C types for patterns.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from gateway.masking.detectors.automaton cimport Automaton

cdef class Within:
    cdef object _pattern
    cdef Automaton _automaton
    @cython.locals(end=Py_ssize_t)
    cpdef bint matches(self, bytes data, Py_ssize_t low, Py_ssize_t high) except -1

cdef class Whole:
    cdef object _pattern
    cdef Automaton _automaton
    @cython.locals(end=Py_ssize_t)
    cpdef bint matches(self, bytes data) except -1

cdef class AtEnd:
    cdef object _pattern
    cdef Automaton _automaton
    @cython.locals(begin=Py_ssize_t)
    cpdef bint matches(self, bytes data) except -1
