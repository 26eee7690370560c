"""Pages of the documentation that are written from the code: settings, tables, modules. MkDocs calls its hooks."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"knowlip": ROOT / "platform" / "knowlip", **{name: ROOT / name for name in ("models", "jobs", "serve_apps")}}
GUARD = 'if __name__ == "__main__":'
COPIED = {"contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md"}

for _folder in (ROOT, ROOT / "platform"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the written pages into the navigation."""
    names = list(pages())
    reference = [name for name in names if name.startswith("reference/")]
    settings = [name for name in reference if name.startswith("reference/jobs/")]
    modules = [name for name in reference if name.startswith("reference/modules/")]
    others = [name for name in reference if name not in {*settings, *modules}]
    config.nav += [
        {"Reference": [*others, {"Jobs and their settings": settings}, {"Modules": modules}]},
        {"Project": [name for name in names if name in COPIED]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the written pages."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def pages() -> dict[str, str]:
    """Return every written page by its path below the documentation."""
    made = {"reference/tables.md": tables_page(), "reference/errors.md": errors_page()}
    for job in jobs():
        made[f"reference/jobs/{job.removeprefix('jobs.')}.md"] = job_page(job)
    for package in packages():
        made[f"reference/modules/{package}.md"] = package_page(package)
    return made | {name: _moved((ROOT / source).read_text()) for name, source in COPIED.items()}


def jobs() -> list[str]:
    """Return the modules that are started as jobs."""
    return [f"jobs.{path.stem}" for path in sorted((ROOT / "jobs").glob("*.py")) if GUARD in path.read_text()]


def job_page(module: str) -> str:
    """Describe a job: what it is for, and every flag with its default, what it takes and what it does."""
    job = importlib.import_module(module)
    kind = settings_of(module)
    lines = [f"# {module}", "", inspect.cleandoc(job.__doc__ or ""), ""]
    lines += ["```text", f"python -m {module} --help", "```", "", inspect.cleandoc(kind.__doc__ or ""), ""]
    lines += ["| flag | default | takes | what |", "|---|---|---|---|"]
    short = {long: flag for flag, long in kind.short_flags.items()}
    for flag, field in flags(kind):
        name = f"`{flag}`" + (f" or `{short[flag]}`" if flag in short else "")
        lines.append(f"| {name} | {_default(field)} | {_takes(field)} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def settings_of(module: str) -> Any:
    """Return the one settings model of a job."""
    from knowlip.settings import JobSettings

    job = importlib.import_module(module)
    kinds = [kind for kind in vars(job).values() if inspect.isclass(kind) and issubclass(kind, JobSettings)]
    return next(kind for kind in kinds if kind.__module__ == module)


def flags(kind: type[BaseModel], prefix: str = "--") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every flag of a settings model, those of its sections too."""
    for name, field in kind.model_fields.items():
        flag = f"{prefix}{name.replace('_', '-')}"
        section = field.annotation
        if inspect.isclass(section) and issubclass(section, BaseModel):
            yield from flags(section, f"{flag}.")
        else:
            yield flag, field


def tables_page() -> str:
    """Describe every table of a workspace, from its Arrow schema."""
    from knowlip import records

    lines = ["# Tables", "", _summary(records.__doc__), ""]
    documented = _documented_names(Path(str(records.__file__)))
    for name in records.__all__:
        schema = getattr(records, name)
        if not hasattr(schema, "field") or not hasattr(schema, "metadata"):
            continue
        lines += [f"## {name}", "", documented.get(name, ""), ""]
        lines += ["| column | type | may be empty | what |", "|---|---|---|---|"]
        for field in schema:
            about = (field.metadata or {}).get(b"about", b"").decode()
            kind = str(field.type) if len(str(field.type)) < 60 else f"{str(field.type)[:56]}…"
            lines.append(f"| `{field.name}` | {_code(kind)} | {'yes' if field.nullable else 'no'} | {_cell(about)} |")
        lines.append("")
    return "\n".join(lines)


def errors_page() -> str:
    """List the codes by which summaries count what was set aside, with the module that uses each."""
    lines = [
        "# Error codes",
        "",
        "Every error is one line: where, what, and what to do. Its code is what summaries",
        "",
    ]
    lines[-2] += " count by, and what a table keeps as the reason why a scene, a tile or an answer was set aside."
    lines += ["| code | used in |", "|---|---|"]
    found: dict[str, set[str]] = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            name = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            for code in re.findall(r"\bcode=\"([a-z_]+)\"", path.read_text()):
                found.setdefault(code, set()).add(name)
    lines += [f"| `{code}` | {', '.join(f'`{name}`' for name in sorted(found[code]))} |" for code in sorted(found)]
    return "\n".join(lines) + "\n"


def packages() -> list[str]:
    """Return every package that has modules of its own."""
    return [
        ".".join((package, *inner.relative_to(folder).parts))
        for package, folder in FOLDERS.items()
        for inner in sorted([folder, *(path for path in folder.rglob("*") if path.is_dir())])
        if any(not path.stem.startswith("__") for path in inner.glob("*.py"))
    ]


def package_page(package: str) -> str:
    """Describe a package: each module from its docstrings."""
    head, *rest = package.split(".")
    folder = FOLDERS[head].joinpath(*rest)
    modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    lines = [f"# {package}", ""]
    for module in modules:
        lines += [f"## {module}", "", f"::: {package}.{module}", "    options:", "      show_root_heading: false", ""]
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if value is PydanticUndefined:
        return "needed"
    value = str(Path(value).relative_to(ROOT)) if str(value).startswith(str(ROOT)) else value
    return _code(repr(value)) if value not in ("", None, ()) else "none"


def _takes(field: FieldInfo) -> str:
    kind = field.annotation
    name = kind.__name__ if inspect.isclass(kind) and not getattr(kind, "__args__", None) else str(kind)
    name = re.sub(r"\b(typing|pathlib|collections\.abc)\.", "", name).replace("NoneType", "none")
    bounds = [str(bound) for bound in field.metadata if type(bound).__name__ in {"Ge", "Gt", "Le", "Lt"}]
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    spoken = [re.sub(r"(\w\w)\(\w+=(.*)\)", lambda found: f"{signs[found[1]]} {found[2]}", bound) for bound in bounds]
    return ", ".join([_code(name), *spoken])


def _summary(text: str | None) -> str:
    return inspect.cleandoc(text or "")


def _documented_names(path: Path) -> dict[str, str]:
    """Return the strings that stand below assignments of a module."""
    return dict(
        re.findall(r'^(\w+) = (?:pa\.schema\(\n.*?^\)|.*?)\n"""(.*?)"""', path.read_text(), re.DOTALL | re.MULTILINE)
    )


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _moved(text: str) -> str:
    """Rewrite links between files of the repository's root, now that they are pages."""
    for page, source in COPIED.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text
