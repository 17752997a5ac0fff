# C types for automaton.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython

cdef bytes _IS_WORD
cdef bytearray _NO_MARKS

cdef class Automaton:
    cdef object _lock
    cdef object _places
    cdef bint _anywhere
    cdef bint _cut
    cdef tuple _finals
    cdef object _final
    cdef Py_ssize_t _most_states
    cdef Py_ssize_t _most_moves
    cdef object _boundaries
    cdef bytes _kinds
    cdef tuple _words
    cdef Py_ssize_t _unread
    cdef Py_ssize_t _width
    cdef list _reached
    cdef dict _after
    cdef object _start
    cdef dict _states
    cdef list _bits
    cdef Py_ssize_t _moves
    cdef object _room
    cdef dict _sets
    cdef unsigned int[::1] _table
    cdef long long[::1] _which
    cdef Py_ssize_t _nowhere
    cdef Py_ssize_t _behind_none
    cdef Py_ssize_t _behind_word

    @cython.locals(
        view="const unsigned char *", kind_of="const unsigned char *", is_word="const unsigned char *", kinds=bytes,
        parts_of_words=bytes, table="unsigned int[::1]", size=Py_ssize_t, nowhere=Py_ssize_t, best=Py_ssize_t,
        state=Py_ssize_t, kind=Py_ssize_t, entry="unsigned int",
    )
    cpdef Py_ssize_t longest(self, bytes data, Py_ssize_t pos, Py_ssize_t stop) except -3

    @cython.locals(
        view="const unsigned char *", kind_of="const unsigned char *", is_word="const unsigned char *", kinds=bytes,
        parts_of_words=bytes, table="unsigned int[::1]", size=Py_ssize_t, state=Py_ssize_t, kind=Py_ssize_t,
        entry="unsigned int",
    )
    cpdef Py_ssize_t first(self, bytes data, Py_ssize_t pos, Py_ssize_t stop) except -3

    @cython.locals(
        view="const unsigned char *", kind_of="const unsigned char *", is_word="const unsigned char *", kinds=bytes,
        parts_of_words=bytes, table="unsigned int[::1]", which="long long[::1]", found="long long", cuts=tuple,
        cut1=Py_ssize_t, cut2=Py_ssize_t, cut3=Py_ssize_t, rest1="long long", rest2="long long", rest3="long long",
        rest4="long long",
        state1=Py_ssize_t, pos1=Py_ssize_t, entry1="unsigned int",
        state2=Py_ssize_t, pos2=Py_ssize_t, entry2="unsigned int",
        state3=Py_ssize_t, pos3=Py_ssize_t, entry3="unsigned int",
        state4=Py_ssize_t, pos4=Py_ssize_t, entry4="unsigned int",
    )
    cpdef long long present(self, bytes data, Py_ssize_t pos, Py_ssize_t stop) except -3

    @cython.locals(
        view="const unsigned char *", kind_of="const unsigned char *", kinds=bytes, table="unsigned int[::1]",
        which="long long[::1]", size=Py_ssize_t, found="long long", kind=Py_ssize_t, entry="unsigned int",
    )
    cdef long long _present(self, bytes data, Py_ssize_t pos, Py_ssize_t stop, Py_ssize_t state) except -3

    @cython.locals(
        view="const unsigned char *", kind_of="const unsigned char *", is_word="const unsigned char *", kinds=bytes,
        parts_of_words=bytes, table="unsigned int[::1]", marks=bytearray, mark="unsigned char *", cuts=tuple,
        cut1=Py_ssize_t, cut2=Py_ssize_t, cut3=Py_ssize_t,
        state1=Py_ssize_t, pos1=Py_ssize_t, entry1="unsigned int",
        state2=Py_ssize_t, pos2=Py_ssize_t, entry2="unsigned int",
        state3=Py_ssize_t, pos3=Py_ssize_t, entry3="unsigned int",
        state4=Py_ssize_t, pos4=Py_ssize_t, entry4="unsigned int",
    )
    cpdef bytearray starts(self, bytes data, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t stop)

    @cython.locals(
        view="const unsigned char *", kind_of="const unsigned char *", kinds=bytes, table="unsigned int[::1]",
        mark="unsigned char *", end=Py_ssize_t, kind=Py_ssize_t, entry="unsigned int",
    )
    cdef Py_ssize_t _starts(
        self, bytes data, Py_ssize_t pos, Py_ssize_t low, Py_ssize_t state, bytearray marks, Py_ssize_t begin
    ) except -3

    @cython.locals(quarter=Py_ssize_t, cut1=Py_ssize_t, cut2=Py_ssize_t, cut3=Py_ssize_t)
    cdef tuple _cuts(self, bytes data, Py_ssize_t pos, Py_ssize_t stop)

    @cython.locals(
        view="const unsigned char *", kind_of="const unsigned char *", kinds=bytes, table="unsigned int[::1]",
        pos=Py_ssize_t, state=Py_ssize_t, kind=Py_ssize_t, entry="unsigned int",
    )
    cpdef Py_ssize_t back(self, bytes data) except -3

    cdef unsigned int _move(self, Py_ssize_t state, Py_ssize_t kind) except? 0

    @cython.locals(known=Py_ssize_t)
    cdef Py_ssize_t _set(self, object bits) except -3

    cdef Py_ssize_t _state(self, object bits, bint word) except -3
