"""Hooks of MkDocs: list the modules of a folder in the reference, and check what MkDocs does not.

`::: package.folder.*` on a page stands for one `::: package.folder.module` a file, so that a new part needs no
new line. README, notebook and the projects' pages are no pages of the site: without a check a renamed heading
leaves links there that lead nowhere. And commands name files that may move.
"""

import re
import subprocess
from logging import getLogger
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify

ROOT = Path(__file__).parents[1]
MODULES = re.compile(r'^::: (\S+)\.\*$', re.MULTILINE)
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
BLOCK = re.compile(r'^```.*?^```', re.MULTILINE | re.DOTALL)
NAMED_FILE = re.compile(r'(?<![\w./])(?:configs|projects|tests|tools)/[\w./-]+\.(?:md|pth|py|sh)\b')
log = getLogger('mkdocs.plugins.hooks')  # a strict build fails on its warnings


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Writes out the modules of each folder, `base` first; warns of files that a page names in vain."""
    check_named_files(page.file.src_uri, markdown)
    return MODULES.sub(lambda found: '\n\n'.join(f'::: {name}' for name in modules(found[1])), markdown)


def modules(package: str) -> list[str]:
    """Dotted names of the modules in a folder of the package."""
    folder = ROOT / package.replace('.', '/')
    names = {file.stem for file in folder.glob('*.py') if not file.stem.startswith('_')}
    if not names:
        log.warning(f'{package}.*: there is no module in {folder.relative_to(ROOT)}')
    return [f'{package}.{name}' for name in sorted(names, key=lambda name: (name != 'base', name))]


def on_pre_build(**_: Any) -> None:
    """Warns of each link outside the site whose file or heading is missing."""
    check_named_files('README.md', (ROOT / 'README.md').read_text())
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '*.md']
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for page in map(Path, listed.stdout.splitlines()):
        if page.parts[0] == 'docs' or not (ROOT / page).is_file():
            continue
        # code spans and blocks hold brackets that are no links
        text = re.sub(r'`[^`\n]+`', '', BLOCK.sub('', (ROOT / page).read_text()))
        for target in LINK.findall(text):
            if '://' not in target and not leads_somewhere(page, target):
                log.warning(f'{page}: the link {target!r} leads nowhere')


def check_named_files(page: str, text: str) -> None:
    """Warns of each file of the repository that a command or a sentence names and that is missing."""
    for name in sorted(set(NAMED_FILE.findall(text))):
        if not (ROOT / name).exists():
            log.warning(f'{page}: there is no {name}')


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether a page's link leads to a file, and to a heading where it names one."""
    path, _, anchor = target.partition('#')
    file = ROOT / page.parent / path if path else ROOT / page
    return file.exists() and (not anchor or anchor in anchors(file))


def anchors(file: Path) -> set[str]:
    """Anchors of the headings of a Markdown file; repeated ones are numbered, as GitHub does."""
    found: set[str] = set()
    # the comments of a shell block are no headings
    for line in BLOCK.sub('', file.read_text()).splitlines():
        if line.startswith('#'):
            slug = slugify(line.lstrip('#').strip(), '-')
            number = next(n for n in range(len(found) + 1) if (f'{slug}-{n}' if n else slug) not in found)
            found.add(f'{slug}-{number}' if number else slug)
    return found
