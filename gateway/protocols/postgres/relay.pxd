# C types for relay.py; it also runs uncompiled, and then nobody reads this file.
cimport cython
from libc.stdint cimport int64_t
from gateway.protocols.postgres.state cimport Ask, Portal, Prepared, Result, Sent

@cython.locals(value=int64_t)
cdef int64_t _int32(const unsigned char *view, Py_ssize_t pos) noexcept

cdef class Relay:
    cdef public object ask
    cdef public bint stale
    cdef public list to_server
    cdef public list to_client
    cdef public list results
    cdef public bint keep_rows
    cdef public object kept
    cdef public int status
    cdef public bint terminated
    cdef public object encoding
    cdef public object unsafe
    cdef public bint hides
    cdef public object application_name
    cdef public bint observe_columns
    cdef public object _sent
    cdef public dict _statements
    cdef public dict _portals
    cdef public long _segment
    cdef public bint _skipping
    cdef public bint _tainted
    cdef public bint _copy_in
    cdef public object _stalled
    cdef public object _held
    cdef public bytes _client
    cdef public Py_ssize_t _client_pos
    cdef public object _client_need
    cdef public Py_ssize_t _client_through
    cdef public bytearray _server
    cdef public Py_ssize_t _server_need
    cdef public Py_ssize_t _server_through
    cdef public bint _final

    @cython.locals(buf=bytes, pos=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, kind=int, length=int64_t, out=list)
    cdef _run_client(self)
    @cython.locals(whole=bytes)
    cdef bint _client_message(self, int kind, bytes buf, Py_ssize_t pos, Py_ssize_t stop) except -1
    cdef bint _on_sync(self, bytes whole) except -1
    @cython.locals(portal=Portal, statement=Prepared)
    cdef bint _on_bind(self, bytes whole) except -1
    @cython.locals(portal=Portal, statement=Prepared)
    cdef bint _on_describe(self, bytes whole) except -1
    @cython.locals(portal=Portal, statement=Prepared, ask=Ask)
    cdef bint _on_execute(self, bytes whole) except -1
    @cython.locals(start=Py_ssize_t, pos=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, kind=int, length=int64_t, out=list, head=Sent)
    cdef _run_server(self, bytes buf)
    @cython.locals(head=Sent)
    cdef _server_message(self, int kind, bytes buf, Py_ssize_t pos, Py_ssize_t stop)
    cdef _on_ready(self, bytes whole)
    cdef _ended(self, Sent head, str status, bint failed=*)
