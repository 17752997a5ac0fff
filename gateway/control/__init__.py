"""Control: what operators and monitoring see of the running gateway, and may do to it.

    running    what this room needs of the gateway (`gateway.app.Gateway` is one)
    counted    live sessions, with totals over those that ended
    callers    a uid on the control socket -> principal and roles
    messages   the API's answers, as types; the command line reads them with the same ones
    status     what is, as these types
    health     could it serve? each thing that says no, and why
    metrics    the same as numbers, for Prometheus
    api        the control API on the unix socket (klein)
    sites      HTTP over `gateway.net`, for the API and for the metrics listener

Every act through the control socket and every refusal is an audit event before it takes effect. Reading is not.

Nothing is exported here: the command line needs `messages` alone, and must not wait for an HTTP server's import.
"""
