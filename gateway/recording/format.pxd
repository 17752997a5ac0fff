# C types for what writer.py calls for each frame; format.py also runs uncompiled.
cimport cython
from libc.stdint cimport int64_t

@cython.locals(fields=bytes)
cpdef bytes pack_prefix(Py_ssize_t size, int kind, int flags, int64_t count, int64_t number)
@cython.locals(body=bytes)
cpdef tuple pack_frame(bytes chain, int kind, int flags, int64_t count, int64_t number, bytes payload)
