# C types for traffic.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from gateway.protocols.postgres.relay cimport Relay
from gateway.protocols.postgres.state cimport Ask, Result

cdef class Traffic:
    cdef public object _dialler
    cdef public object _client
    cdef public object _upstream
    cdef public object _server
    cdef public object _corridor
    cdef public object _reading
    cdef public object _on_end
    cdef public object _asking
    cdef public Relay _relay
    cdef public bint _holding
    cdef public bint _answering
    cdef public bint _reloading
    cdef public bint _rewriting
    cdef public bint _committing
    cdef public bint _syncing
    cdef public bint _over
    cdef public object _ending
    cdef public object _cancelling
    cdef public object _soon
    cdef public object _to_commit
    cdef public object _from_client
    cdef public object _from_server
    @cython.locals(relay=Relay, holding=bint)
    cpdef _turn(self)
    @cython.locals(out=list)
    cpdef _to_client(self)
    cdef _commit_soon(self)
    cdef _forward(self, recorded, list out)
    @cython.locals(results=list, result=Result)
    cpdef _ended(self)
    @cython.locals(relay=Relay)
    cdef _answer(self, Ask ask)
    cdef object __weakref__
