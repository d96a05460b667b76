"""Templates in the reader's language. Whatever data holds is escaped, and its invisible characters are shown."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from terakoya.i18n import _, in_language, language, languages
from terakoya.reporting.escaping import visible
from terakoya.reporting.translations import known
from terakoya.runs.environment import package_version

if TYPE_CHECKING:
    from jinja2 import Environment

LANGUAGE_COOKIE = "terakoya_lang"
NAMES = {"en": "English", "ja": "日本語"}
# What the menu offers: (route, words). A part adds its line here.
MENU = (("/", _("Start")), ("/runs", _("Runs")), ("/try", _("Try")))
_LEVELS = {"stop": _("Stop:"), "warn": _("Warning:"), "note": _("Note:")}
_METERS = {
    "top_share": _("Same prediction for every input"),
    "unreadable": _("Predictions that cannot be read"),
    "distinct_share": _("Different predictions"),
}


def reader_language(request: Request) -> str:
    """The language that a request wants: ?lang=, else the cookie, else Accept-Language, else the locale's.

    request  of the browser
    """
    wanted = [request.query_params.get("lang", ""), request.cookies.get(LANGUAGE_COOKIE, "")]
    for entry in request.headers.get("accept-language", "").split(","):
        wanted.append(entry.partition(";")[0].strip().lower().partition("-")[0])
    return next((code for code in wanted if code in languages()), language())


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A response made from a template.

    request   whose language counts
    template  name of a file in web/templates
    status    of HTTP
    values    variables of the template; a Message among them is shown by the filter `shown`
    """
    lang = reader_language(request)
    # Not from request.url, which takes the host from the request: a refused one may hold anything.
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("lang", "token")]
    links = [(code, "?" + urlencode([*kept, ("lang", code)])) for code in languages()]
    fragment = "hx-request" in request.headers
    text = (
        _environment(lang)
        .get_template(template)
        .render(lang=lang, path=request.scope["path"], languages=links, fragment=fragment, **values)
    )
    # "no-referrer" would have browsers send our own forms with `Origin: null`, which is refused as another site's.
    response = HTMLResponse(text, status, {"referrer-policy": "same-origin"})
    if request.query_params.get("lang") == lang:
        response.set_cookie(LANGUAGE_COOKIE, lang, httponly=True, samesite="strict")
    return response


@lru_cache(maxsize=4)
def _environment(lang: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("terakoya.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def translate(template: str, **fields: Any) -> str:
        return visible(in_language(_(template, **fields), lang))

    environment.globals |= {"_": translate, "menu": MENU, "names": NAMES, "version": package_version()}
    environment.globals |= {"levels": _LEVELS, "meters": _METERS}
    environment.filters["shown"] = lambda text: visible(in_language(text, lang))
    environment.filters["lines"] = lambda text: [visible(line) for line in in_language(text, lang).split("\n")]
    environment.filters["known"] = lambda word: known(lang, word)
    environment.filters["duration"] = lambda seconds: in_language(_duration(seconds), lang)
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}%"
    environment.filters["decimal"] = lambda value: f"{value:.3f}"
    return environment


def _duration(seconds: float) -> str:
    if seconds < 90:
        return _("{seconds:.0f} s", seconds=max(1.0, seconds))
    return _("{minutes:.0f} min", minutes=seconds / 60) if seconds < 5400 else _("{hours:.1f} h", hours=seconds / 3600)
