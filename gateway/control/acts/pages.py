"""What people look at in a browser."""

from __future__ import annotations

from gateway.control.acts.approvals import show
from gateway.control.pages import HTML, Page, approval_page
from gateway.control.route import Asked, Route


def approval(asked: Asked) -> Page:
    return Page(approval_page(show(asked), url=asked.gateway.config.approvals.url))


ROUTES = (
    Route(
        "GET",
        "/approvals/{id}",
        "approvals.page",
        "known",
        "One request, as a page to look at; what a notice links to. That it was shown is an audit event.",
        str,
        approval,
        streams=HTML,
    ),
)
