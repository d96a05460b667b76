"""The local page: `terakoya open` shows tables and runs in the browser, trains, compares, tries and corrects.

`server` binds loopback and prints a link with a token, `application` puts the routes behind `serving/security.py`,
`workspace` knows what lies under the folder where it was started, each thing under an opaque id, `jobs` starts
trainings as processes of their own, `rendering` fills the templates in the reader's language, `views` holds one file
for each part. Nothing that the browser sends is ever taken for a path, an address or a command.
"""

from terakoya.web.server import Opened, open_page

__all__ = ["Opened", "open_page"]
