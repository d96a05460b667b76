"""`python -m terakoya` is `terakoya`."""

from terakoya.cli.main import main

raise SystemExit(main())
