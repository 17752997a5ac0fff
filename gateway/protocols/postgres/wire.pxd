# C types for what relay.py calls for each message; wire.py also runs uncompiled.
cimport cython

@cython.locals(pos=Py_ssize_t, size=Py_ssize_t, count=Py_ssize_t, length=Py_ssize_t, parameters=list)
cpdef parse_bind(bytes body)
@cython.locals(count=Py_ssize_t, end=Py_ssize_t)
cdef tuple _int16s(bytes body, Py_ssize_t pos)
cpdef tuple read_cstring(bytes data, Py_ssize_t pos)
cpdef tuple parse_target_of(bytes body)
cpdef tuple parse_execute(bytes body)
