"""The parts of the page, one file each; `ROUTES` are all their routes."""

from terakoya.web.views import correcting, runs, start, trying

ROUTES = [*start.ROUTES, *runs.ROUTES, *trying.ROUTES, *correcting.ROUTES]
