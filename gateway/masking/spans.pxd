# C types for spans.py; it also runs uncompiled.
cimport cython

@cython.locals(spans=list, before=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, span=tuple)
cpdef list masked_spans(values, methods)
