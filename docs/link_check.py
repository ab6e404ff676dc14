"""A hook of MkDocs: checks the links of every Markdown file of the repository that is not a page of the site.

README, notebook and the projects' pages link to files and headings, too; without this a renamed heading leaves
links there that lead nowhere.
"""

import re
import subprocess
from logging import getLogger
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify

ROOT = Path(__file__).parents[1]
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
# the comments of a shell block are no headings
CODE = re.compile(r'^```.*?^```|`[^`\n]+`', re.MULTILINE | re.DOTALL)
log = getLogger('mkdocs.plugins.link_check')  # strict builds fail on its warnings


def on_pre_build(config: Any) -> None:
    """Warns of each link whose file or heading is missing."""
    listed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard', '*.md'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for page in map(Path, listed.stdout.splitlines()):
        if page.parts[0] == 'docs' or not (ROOT / page).is_file():
            continue
        for target in LINK.findall(CODE.sub('', (ROOT / page).read_text())):
            if '://' not in target and not found(page, target):
                log.warning(f'{page}: the link {target!r} leads nowhere')


def found(page: Path, target: str) -> bool:
    """Whether a page's link leads to a file, and to a heading where it names one."""
    path, _, anchor = target.partition('#')
    file = ROOT / page.parent / path if path else ROOT / page
    return file.exists() and (not anchor or anchor in anchors(file))


def anchors(file: Path) -> set[str]:
    """Anchors of the headings of a Markdown file, as GitHub numbers repeated ones."""
    seen: dict[str, int] = {}
    for line in re.sub(r'^```.*?^```', '', file.read_text(), flags=re.MULTILINE | re.DOTALL).splitlines():
        if line.startswith('#'):
            slug = slugify(line.lstrip('#').strip(), '-')
            seen[slug] = seen.get(slug, -1) + 1
    return {slug if number == 0 else f'{slug}-{number}' for slug, count in seen.items() for number in range(count + 1)}
