"""What the control API does, by subject; each module ends in its lines of the table of routes.

    gateway    status, reload
    sessions   live sessions: list, show, kill
    approvals  requests to approvers, their votes, the grants that came of them
    locks      keeping somebody out
    watching   answers that go on: requests as they change, a live session
    pages      what a browser shows
    tokens     values behind tokens

An act that changes something is written to the audit log before it takes effect, by the act itself or by the service
that it asks (`gateway.session.approvals`); and so is the showing of what not everybody with the right to look may see.
"""
