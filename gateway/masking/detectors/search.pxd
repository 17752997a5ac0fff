# C types for search.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from gateway.masking.detectors.automaton cimport Automaton
from gateway.masking.detectors.found cimport Found
from gateway.masking.detectors.patterns cimport Within
from gateway.masking.detectors.shape cimport Judge

cdef class Finder:
    cdef readonly object longest
    cdef readonly object longest_phrase
    cdef tuple _searches
    cdef readonly tuple names
    @cython.locals(found=Found, there=Found, search=Search)
    cpdef Found found(self, bytes data, hint=*)

cdef class Search:
    cdef readonly object longest
    cdef readonly object longest_phrase
    cdef tuple _shapes
    cdef tuple _names
    cdef Py_ssize_t _first
    cdef Py_ssize_t _reach
    cdef object _gate
    cdef object _present
    cdef tuple _named
    cdef tuple _bounded
    cdef dict _hints
    cdef object _contexts
    cdef Py_ssize_t _behind
    cdef Automaton _anchors
    cdef Automaton _words
    @cython.locals(end=Py_ssize_t, size=Py_ssize_t, present="long long")
    cpdef bint may_match(self, bytes data) except -1
    @cython.locals(
        shapes=tuple, resume=list, size=Py_ssize_t, position=Py_ssize_t, block=Py_ssize_t, leaps=bint,
        begin=Py_ssize_t, end=Py_ssize_t, low=Py_ssize_t, high=Py_ssize_t, searched=_Searched, accepted=bint,
        present=list,
    )
    cpdef search(self, bytes data, hint, Found found)
    @cython.locals(end=Py_ssize_t)
    cdef Py_ssize_t _next(self, bytes data, Py_ssize_t position) except -2
    @cython.locals(present="long long")
    cdef list _shapes_in(self, bytes data, Py_ssize_t low, Py_ssize_t high)
    @cython.locals(present="long long")
    cdef frozenset _near(self, bytes data, Py_ssize_t low, Py_ssize_t high)
    cdef frozenset _hinted(self, hint)

@cython.locals(numbers=list, number=int)
cdef list _numbers(long long bits)

cdef class _Searched:
    cdef Judge _judge
    cdef Py_ssize_t _number
    cdef Within _context
    cdef object _pattern
    cdef bint _retry
    cdef Py_ssize_t _room
    cdef Py_ssize_t _most
    cdef Automaton _starts
    cdef Automaton _ends
    cdef readonly object anchor
    cdef readonly object held
    cdef readonly str name
    cdef readonly Py_ssize_t near
    cdef readonly object reach
    @cython.locals(start=Py_ssize_t, stop=Py_ssize_t)
    cdef Py_ssize_t search(self, bytes data, Py_ssize_t begin, Py_ssize_t end, bint accepted, Found found) except -1
    @cython.locals(most=Py_ssize_t, marks=bytearray, mark="unsigned char *", first=Py_ssize_t, stop=Py_ssize_t)
    cdef Py_ssize_t _read(
        self, Automaton starts, Automaton ends, bytes data, Py_ssize_t begin, Py_ssize_t end, bint accepted, Found found
    ) except -1
    cdef Py_ssize_t _judged(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bint accepted, Found found) except -1
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, stop=Py_ssize_t, context=Within)
    cdef bint _is_near(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
