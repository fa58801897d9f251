"""Every link of the site leads to a file of it, and every anchor to an element: python tools/docs/check.py SITE.

It reads what mdBook wrote, and so what a browser gets. Links to other hosts are not followed.
"""

import html.parser
import pathlib
import sys
import urllib.parse

# print.html repeats all pages in one; 404.html is served at any depth.
SKIPPED = ["print.html", "404.html", "toc.html"]


class Page(html.parser.HTMLParser):
    """The links and the ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def main(site):
    site = pathlib.Path(site).resolve()
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html")) if path.name not in SKIPPED}
    dead, count = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            count += 1
            file = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if file.is_dir():
                file = file / "index.html"
            anchor = urllib.parse.unquote(parts.fragment)
            if not file.is_file() or not file.is_relative_to(site):
                dead.append(f"{path.relative_to(site)}: {link}: no such file")
            elif anchor and file in pages and anchor not in pages[file].ids:
                dead.append(f"{path.relative_to(site)}: {link}: no such anchor")
    if not list(site.glob("searchindex*.js")):
        dead.append("there is no search index")
    print("\n".join(dead) or f"{len(pages)} pages, {count} links: all lead somewhere")
    # No links at all would mean that nothing was checked.
    return 1 if dead or count < 100 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
