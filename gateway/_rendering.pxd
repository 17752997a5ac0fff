# What compiled modules cimport in the place of rendering.py.
from libc.stdint cimport int64_t, uint64_t

cpdef tuple frame(bytes chain, int kind, int flags, int64_t count, int64_t number, bytes payload)
cpdef tuple audit_line(
    bytes chain, int64_t sequence, bytes uid, bytes constant, int64_t millisecond, bytes device, bytes before,
    int64_t number, bytes after,
)
cpdef bytes operation_event(bytes time, int64_t number, bytes constant, bytes parameters)
cpdef bytes result_event(bytes time, int64_t number, bytes status, int64_t rows, int64_t size, bytes columns)
cpdef bytes plain_texts(values)
