# C types for what writer.py calls for each operation; events.py also runs uncompiled.
cimport cython
from libc.stdint cimport int64_t
cimport gateway._rendering as rendering

cdef Py_ssize_t FEW

@cython.locals(rendered=bytes)
cpdef bytes operation_line(double time, int64_t number, bytes constant, parameters, formats, store)
cpdef bytes result_line(double time, int64_t number, bytes status, int64_t rows, int64_t size, bytes shown)
cpdef bytes with_text(bytes before, text, bytes after)
cpdef bytes dumps(event)
@cython.locals(size=Py_ssize_t, rendered=list, index=Py_ssize_t)
cdef _parameters(parameters, formats, store)
cdef _value(bytes value, bint binary)
