"""Control: what operators and monitoring see of the running gateway, and may do to it.

    running    what this room needs of the gateway (`gateway.app.Gateway` is one)
    counted    live sessions, with totals over those that ended
    messages   the API's questions and answers, as types; the command line speaks with the same ones
    status     what is, as these types
    health     could it serve? each thing that says no, and why
    metrics    the same as numbers, for Prometheus

The API, a request's way through it:

    listener   mutual TLS before HTTP: who gets a connection at all
    sites      HTTP over `gateway.net`, for the API and for the metrics listener
    api        the table of routes, and the way from a request to its act (klein)
    callers    what was proven on the connection -> who asks, and what that allows
    pace       how often one caller may be refused
    route      what a line of the table is; what an act gets, and how it refuses
    reading    body and query as a route's types
    openapi    the table of routes as a description for programs
    acts       the acts, by subject
    pages      the page that a notice links to
    watching   answers that go on, line by line; sources: what can be watched

Towards whoever is on call:

    notices    what is told of a request for approval, and how it is signed
    webhooks   its way to each receiver

Every act and every refusal is an audit event before it takes effect, and so is the showing of what sessions ask and
show. Looking at the gateway's state is not.

Why it is as it is: docs/decisions/0052-control-api.md.

Nothing is exported here: the command line needs `messages` alone, and must not wait for an HTTP server's import.
"""
