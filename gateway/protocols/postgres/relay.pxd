# C types for relay.py; it also runs uncompiled, and then nobody reads this file.
cimport cython
from libc.stdint cimport int64_t
from gateway.protocols.postgres cimport wire
from gateway.protocols.postgres.state cimport Ask, Named, Portal, Prepared, Result, Sent

cdef int Q, P, B, D, E, C, S, H, F, X, COPY_DATA, COPY_DONE, COPY_FAIL, DESCRIBED_STATEMENT, DESCRIBED_PORTAL

@cython.locals(value=int64_t)
cdef int64_t _int32(const unsigned char *view, Py_ssize_t pos) noexcept

@cython.final
cdef class Relay:
    cdef public object ask
    cdef public bint stale
    cdef public object large
    cdef public list to_server
    cdef public list to_client
    cdef public list results
    cdef public bint keep_rows
    cdef public list kept
    cdef public int status
    cdef public bint terminated
    cdef public object encoding
    cdef public object unsafe
    cdef public object planner
    cdef public object application_name
    cdef public bint observe_columns
    cdef public object _sent
    cdef public dict _statements
    cdef public dict _portals
    cdef public long _newest_portal
    cdef public long _segment
    cdef public long _touched
    cdef public bint _skipping
    cdef public bint _tainted
    cdef public bint _copy_in
    cdef public Named _stalled
    cdef public object _held
    cdef public bytes _client
    cdef public Py_ssize_t _client_pos
    cdef public object _client_need
    cdef public Py_ssize_t _client_through
    cdef public bytearray _server
    cdef public Py_ssize_t _server_need
    cdef public Py_ssize_t _server_through
    cdef public bint _final

    cpdef bint holds(self) except -1
    cpdef bint is_idle(self) except -1
    cpdef receive_client(self, bytes data)
    cpdef decided(self, verdict)
    @cython.locals(
        buf=bytes, view="const unsigned char *", pos=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, kind=int,
        length=int64_t, limit=int64_t, out=list,
    )
    cdef _run_client(self)
    @cython.locals(view="const unsigned char *", whole=bytes, body=bytes, target=int, name=bytes, key=bytes)
    cdef bint _client_message(self, int kind, bytes buf, Py_ssize_t pos, Py_ssize_t stop) except -1
    cdef _hold(self, int kind, bytes whole, parsed, Ask ask)
    cpdef bytes _key(self, bytes name)
    cdef bint _known(self, Named state) except -1
    cdef bint _on_sync(self, bytes whole) except -1
    @cython.locals(portal=Portal, statement=Prepared, name=bytes, of=bytes, key=bytes, formats=tuple, parameters=tuple)
    cdef bint _on_bind(self, bytes whole, bytes body) except -1
    @cython.locals(portal=Portal, statement=Prepared, target=int, name=bytes)
    cdef bint _on_describe(self, bytes whole, bytes body) except -1
    @cython.locals(portal=Portal, statement=Prepared, ask=Ask, name=bytes)
    cdef bint _on_execute(self, bytes whole, bytes body) except -1
    cdef _query(self, bytes whole, verdict)
    cdef _parse(self, bytes whole, parsed, verdict)
    @cython.locals(portal=Portal, sent=Sent)
    cdef _execute(self, bytes whole, parsed, verdict)
    @cython.locals(portal=Portal)
    cdef _forget(self, operation)
    cpdef receive_server(self, bytes data)
    @cython.locals(start=Py_ssize_t, pos=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, kind=int, length=int64_t,
        out=list, head=Sent, view="const unsigned char *")
    cdef _run_server(self, bytes buf)
    cdef _plan_of(self, Sent head)
    cdef _copy_of(self, Sent head)
    @cython.locals(head=Sent, view="const unsigned char *")
    cdef _server_message(self, int kind, bytes buf, Py_ssize_t pos, Py_ssize_t stop)
    cdef _expect(self, Sent head, int kind)
    @cython.locals(head=Sent, view="const unsigned char *")
    cdef _on_ready(self, bytes buf, Py_ssize_t pos, Py_ssize_t stop)
    cdef _end_portals(self, long segment)
    @cython.locals(portal=Portal)
    cdef _on_row_description(self, Sent head, bytes buf, Py_ssize_t pos, Py_ssize_t stop)
    @cython.locals(portal=Portal)
    cdef _ended(self, Sent head, str status, bint failed=*)
