# C types for traffic.py; it also runs uncompiled. What an object keeps must be named here.
cimport cython
from gateway.protocols.postgres.relay cimport Relay

cdef class Traffic:
    cdef public object _dialler
    cdef public object _client
    cdef public object _upstream
    cdef public object _server
    cdef public object _corridor
    cdef public object _reading
    cdef public object _on_end
    cdef public Relay _relay
    cdef public bint _holding
    cdef public bint _answering
    cdef public bint _reloading
    cdef public bint _rewriting
    cdef public bint _committing
    cdef public bint _syncing
    cdef public bint _over
    cdef public object _cancelling
    cdef public object _clock
    cdef public object _soon
    cdef public object _from_client
    cdef public object _from_server
    cpdef _turn(self)
    cpdef _to_client(self)
    cpdef _ended(self)
    cpdef _commit_soon(self)
    cdef object __weakref__
