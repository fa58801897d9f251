"""Copies the pages of the repository to FOLDER/src, as mdBook wants them: python tools/docs/stage.py FOLDER.

The pages keep their places, so that their links hold. docs/README.md gives the order of the site (SUMMARY.md). A link to a file that is no page
leads to a copy of it as text; a link to a folder, to the list of its files: the site needs no server that knows the repository.
"""

import pathlib
import posixpath
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = "docs/README.md"
# Behind the pages that LIST names.
PROJECT = ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
PICTURES = (".webp", ".svg", ".png")
SPECIFICATION = ("specs/", ".specify/")
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def staged(page):
    """The name of a page on the site: a README is the index of its folder."""
    return re.sub(r"(^|/)README\.md$", r"\1index.md", page)


def target(page, link):
    """The path in the repository that a link of a page leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def prose(text):
    """The lines of a page, each with whether links in it count: not in a block of code."""
    code = False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        code ^= fence
        yield line, not (code or fence)


def title(page):
    """The first heading of a page."""
    return next(line.lstrip("# ") for line in (ROOT / page).read_text().splitlines() if line.startswith("# "))


class Stage:
    """The files below FOLDER/src."""

    def __init__(self, source, tracked):
        self.source, self.tracked = source, tracked
        self.pages = [page for page in tracked if page.endswith(".md") and is_page(page)]
        self.copied = set()

    def write(self, name, text):
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def rewritten(self, page, link):
        """A link of a page, as the site needs it."""
        if "://" in link or link.startswith(("#", "mailto:")):
            return link
        file, mark, anchor = link.partition("#")
        path = target(page, file)
        if path in self.pages:
            place = staged(path)
        elif path.endswith(PICTURES):
            place = path
            (self.source / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, self.source / place)
        elif path in self.tracked:
            place = path + ".txt"
            if place not in self.copied:
                self.copied.add(place)
                self.write(place, (ROOT / path).read_text())
            mark = anchor = ""
        else:
            # A folder. One that does not exist has an empty list, and guard/tests/docs.rs has refused it before.
            place = posixpath.join(path, "files.txt")
            self.write(place, "".join(f"{file}\n" for file in self.tracked if file.startswith(path + "/")))
            mark = anchor = ""
        return posixpath.relpath(place, posixpath.dirname(page) or ".") + mark + anchor

    def page(self, page):
        lines = []
        for line, counts in prose((ROOT / page).read_text()):
            if counts:
                parts = line.split("`")
                # Not inside `code`.
                parts[::2] = [LINK.sub(lambda m: m[1] + self.rewritten(page, m[2]) + m[3], part) for part in parts[::2]]
                line = "`".join(parts)
            lines.append(line)
        self.write(staged(page), "\n".join(lines) + "\n")

    def summary(self):
        """The order of LIST; a page below the folder of another page is its part."""
        rows = [line for line, _ in prose((ROOT / LIST).read_text()) if line.startswith("| [")]
        listed = [target(LIST, re.match(r"\| \[[^]]*\]\(([^)#]+)", row)[1]) for row in rows]
        lines = ["# Summary", "", f"[{title('README.md')}](index.md)", f"[All pages]({staged(LIST)})", "", "# Use", ""]
        for page in [*listed, "troubleshooting.md"]:
            is_part = any(page.startswith(whole.removesuffix(".md") + "/") for whole in listed)
            lines.append(f"{'  ' if is_part else ''}- [{title(page)}]({staged(page)})")
        rest = [page for page in self.pages if page not in [*listed, "README.md", LIST, "troubleshooting.md"]]
        specification = [page for page in rest if page.startswith(SPECIFICATION)]
        unlisted = set(rest) - set(PROJECT) - set(specification)
        if unlisted:
            sys.exit(f"{LIST} has no row of {', '.join(sorted(unlisted))}")
        lines += ["", "# The project", ""]
        lines += [f"- [{title(page)}]({staged(page)})" for page in [*PROJECT, *specification]]
        self.write("SUMMARY.md", "\n".join(lines) + "\n")


def is_page(path):
    """Whether a Markdown file is for readers: not a template, and not a test's."""
    return not path.startswith((".github/", "guard/", "tools/"))


def main(folder):
    folder = pathlib.Path(folder)
    shutil.rmtree(folder / "src", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "tools/docs/book.toml", folder / "book.toml")
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    files = sorted(name for name in tracked.stdout.splitlines() if (ROOT / name).is_file())
    stage = Stage(folder / "src", files)
    for page in stage.pages:
        stage.page(page)
    stage.summary()
    print(f"{len(stage.pages)} pages, and {len(stage.copied)} files that they link to")


if __name__ == "__main__":
    main(sys.argv[1])
