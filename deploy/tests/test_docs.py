"""Links of the deployment's pages lead somewhere."""

import re

import pytest
from conftest import DEPLOY

PAGES = [DEPLOY / "README.md", *(DEPLOY.parent / "docs/guide").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
