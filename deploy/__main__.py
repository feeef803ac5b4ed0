"""`python -m deploy`, from the repository root."""

from deploy.stack import main

raise SystemExit(main())
