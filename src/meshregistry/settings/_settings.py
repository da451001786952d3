"""The settings of a pilot: one tree for the file, the environment and Python."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import field, frozen

from meshregistry.documents import (
    AnyNode,
    Document,
    MappingNode,
    Seconds,
    SequenceNode,
    attempt,
    decode,
    expand,
    from_plain,
    json_schema,
    parse,
)
from meshregistry.errors import ConfigError
from meshregistry.rules import MeshSettings
from meshregistry.settings._addresses import Address
from meshregistry.settings._identity import IdentitySettings, identity_mentions
from meshregistry.settings._merge import Mention, MergeSettings, merge_mentions
from meshregistry.settings._registration import registration_faults
from meshregistry.settings._resilience import SnapshotSettings, snapshot_in_full
from meshregistry.settings._server import ServerSettings, exposure
from meshregistry.settings._sources import (
    RuleCore,
    RuleSettings,
    SourceCore,
    SourceSettings,
    duplicates,
    rule,
    source,
    strangers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshregistry.model import Identity

VARIABLE = "MESHREGISTRY_CONFIG"
DEFAULT_NAME = "mesh.yaml"

_SCALARS: Mapping[type, Callable[[str], Any]] = {Address: Address.parse}
_KEYS = ("sources", "rules", "identity", "merge", "mesh", "server", "sync_timeout", "snapshot")
_SIGNS = re.compile(rf"({'|'.join(_KEYS)})\s*:")
_EXAMPLE = (
    "the smallest useful one is 'sources:' and a line '  - {id: vms, kind: file, path: services/}'"
)

T = TypeVar("T")


@frozen
class _Rest:
    """What is structured without detours."""

    sync_timeout: Seconds | None = None
    snapshot: SnapshotSettings | None = None


@frozen(kw_only=True)
class Settings:
    """All settings of a pilot.

    Attributes:
        sources: in order of precedence.
        rules: rule sources, in order of precedence.
        identity: which names of several sources mean one service.
        merge: how services that several sources know are merged.
        mesh: of the whole mesh.
        mentions: the sources that are named elsewhere than in ``sources``, with places.
        server: where and how to serve.
        sync_timeout: seconds that the start gate waits for sources that are not required
            and have none of their own; None takes the gate's default.
        snapshot: where what the sources said last is kept; None: nowhere.
        base_path: the folder that relative paths start from; absolute.
        file: where they were read from; None if they came from Python.
    """

    sources: tuple[SourceSettings, ...] = ()
    rules: tuple[RuleSettings, ...] = ()
    identity: IdentitySettings = field(factory=IdentitySettings)
    merge: MergeSettings = field(factory=MergeSettings)
    mesh: MeshSettings = field(factory=MeshSettings)
    mentions: tuple[Mention, ...] = field(default=(), eq=False, repr=False)
    server: ServerSettings = field(factory=ServerSettings)
    sync_timeout: Seconds | None = None
    snapshot: SnapshotSettings | None = None
    base_path: Path = field(factory=Path.cwd)
    file: Path | None = None

    @classmethod
    def load(cls, path: str | Path, *, environ: Mapping[str, str] | None = None) -> Self:
        """Read a settings file.

        Args:
            path: YAML or JSON.
            environ: for ``${VAR}``; default: the process's environment.

        Raises:
            ConfigError: if it cannot be read, or for all faults in it, joined.
        """
        place = Path(path)
        try:
            content = place.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"the settings cannot be read: {error.strerror or error}",
                file=str(path),
                remedy=f"name a readable file with -c or ${VARIABLE}",
            ) from error
        text = decode(content, file=str(path))
        return cls.parse(text, file=str(path), base_path=place.parent, environ=environ)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        file: str = "<text>",
        base_path: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Read the text of a settings file.

        Args:
            text: YAML or JSON; one document.
            file: what errors call it.
            base_path: the folder that relative paths start from; default: the current one.
            environ: for ``${VAR}``; default: the process's environment.

        Raises:
            ConfigError: all faults, joined.
        """
        root = _only(parse(text, file=file), file)
        faults: list[ConfigError] = []
        expanded = expand(root, os.environ if environ is None else environ, faults=faults)
        base = Path(base_path or "").absolute()
        return cls(
            **cls._read(expanded, base, faults),
            base_path=base,
            file=None if file.startswith("<") else Path(file),
        )

    @classmethod
    def from_dict(
        cls, values: Mapping[str, object], *, base_path: str | Path | None = None
    ) -> Self:
        """The same from Python's own values; variables are not expanded.

        A str is never taken for a number or a boolean; durations are texts such as ``5s``.

        Raises:
            ConfigError: all faults, joined.
        """
        base = Path(base_path or "").absolute()
        return cls(**cls._read(from_plain(dict(values)), base, []), base_path=base)

    @classmethod
    def _read(cls, root: AnyNode, base_path: Path, faults: list[ConfigError]) -> dict[str, Any]:
        """The arguments of the class.

        Raises:
            ConfigError: `faults` and all that are found, joined.
        """
        # What a variable would have said is not known, so its place is not judged twice.
        unknown = {(fault.line, fault.column) for fault in faults}
        if not isinstance(root, MappingNode):
            raise root.fault(f"the settings must be a mapping, not {root.kind}", _EXAMPLE)
        reader = _Reader(root, base_path)
        found = reader.settings()
        faults += [one for one in reader.faults if (one.line, one.column) not in unknown]
        if faults:
            raise ConfigError.joined(sorted(faults, key=_position))
        return found

    def identities(self) -> Identity:
        """Which names mean one service: the section's rules, and those of the sources."""
        return self.identity.identity({one.id: one.identity for one in self.sources})

    @staticmethod
    def find(explicit: str | None, *, environ: Mapping[str, str], cwd: Path) -> Path:
        """Which file to load: the one named, else ``$MESHREGISTRY_CONFIG``, else ``./mesh.yaml``.

        Raises:
            ConfigError: if there is no such file.
        """
        named = explicit or environ.get(VARIABLE)
        path = cwd / (named or DEFAULT_NAME)
        if not path.exists():
            origin = "-c" if explicit else f"${VARIABLE}" if named else "default"
            raise ConfigError(
                f"there is no such settings file ({origin})",
                file=named or f"./{DEFAULT_NAME}",
                remedy=f"make it, or name another with -c or ${VARIABLE}",
            )
        return path

    @staticmethod
    def is_settings(path: Path) -> bool:
        """Whether a file holds settings, as far as its top-level keys tell.

        A file that says neither way counts as settings if it is named as one.
        """
        try:
            text = decode(path.read_bytes(), file=str(path))
        except (OSError, ConfigError):
            text = ""
        roots = [one.root for one in parse(text, file=str(path)) if isinstance(one, Document)]
        mappings = [root for root in roots if isinstance(root, MappingNode)]
        if any("services" in root or "kind" in root for root in mappings):
            return False
        if any(key in root for root in mappings for key in _KEYS):
            return True
        if any(_SIGNS.match(line) for line in text.splitlines()):
            return True
        return path.stem == Path(DEFAULT_NAME).stem

    @staticmethod
    def schema() -> dict[str, Any]:
        """The JSON Schema of the settings file.

        Options of a source are left open: they are those of its kind.
        """
        found = json_schema(_Rest)
        found["title"] = "Settings"
        found["description"] = "Settings of meshregistry."
        sources = {**_inner(json_schema(SourceCore)), "additionalProperties": True}
        guard = sources["properties"]["guard"]
        guard["anyOf"] = [*guard["anyOf"], {"enum": [True, False, "on", "off"]}]
        rules = {**_inner(json_schema(RuleCore)), "additionalProperties": True}
        snapshot = found["properties"]["snapshot"]
        snapshot["anyOf"] = [*snapshot["anyOf"], {"type": "string"}]
        found["properties"] = {
            "sources": {"type": "array", "items": sources},
            "rules": {"type": "array", "items": rules},
            "identity": _inner(json_schema(IdentitySettings)),
            "merge": _inner(json_schema(MergeSettings)),
            "mesh": _inner(json_schema(MeshSettings)),
            "server": _inner(json_schema(ServerSettings, scalars=_SCALARS)),
            **found["properties"],
        }
        return found


class _Reader:
    """Reads section by section, so that one fault does not hide the next."""

    def __init__(self, root: MappingNode, base_path: Path) -> None:
        self.root = root
        self.base_path = base_path
        self.faults = root.unknown(_KEYS)

    def settings(self) -> dict[str, Any]:
        """The arguments of `Settings`; what is faulty is missing or has its default."""
        sources, are_whole = self.listed("sources", source)
        rules, _ = self.listed("rules", rule)
        self.faults += duplicates(sources, "source")
        self.faults += duplicates(rules, "rule source")
        if are_whole:
            self.faults += strangers(rules, [one.id for one in sources])
        keys = self.root.only(["sync_timeout", "snapshot"])
        rest = self.made(snapshot_in_full(keys), _Rest) or _Rest()
        return {
            "sources": sources,
            "rules": rules,
            "identity": self.section("identity", IdentitySettings) or IdentitySettings(),
            "merge": self.section("merge", MergeSettings) or MergeSettings(),
            "mentions": (
                *identity_mentions(self.root.get("identity")),
                *merge_mentions(self.root.get("merge")),
            ),
            "mesh": self.section("mesh", MeshSettings) or MeshSettings(),
            "server": self.server([one.id for one in sources] if are_whole else None),
            "sync_timeout": rest.sync_timeout,
            "snapshot": rest.snapshot,
        }

    def listed(
        self, key: str, read: Callable[[AnyNode, list[ConfigError]], T | None]
    ) -> tuple[tuple[T, ...], bool]:
        """The items of a list that are good, and whether all are."""
        node = self.root.get(key)
        if node is None or (isinstance(node, SequenceNode) and not node.items):
            return (), True
        if not isinstance(node, SequenceNode):
            self.faults.append(
                node.fault(f"must be a list, not {node.kind}", "write - before each")
            )
            return (), False
        found = tuple(one for item in node if (one := read(item, self.faults)) is not None)
        return found, len(found) == len(node)

    def section(self, key: str, cls: type[T]) -> T | None:
        """A mapping as a class; None if it is not there, or faulty."""
        node = self.root.get(key)
        return None if node is None else self.made(node, cls)

    def made(self, node: AnyNode, cls: type[T]) -> T | None:
        return attempt(node, cls, self.faults, base_path=self.base_path, scalars=_SCALARS)

    def server(self, sources: list[str] | None) -> ServerSettings:
        """The server settings; of sources that are not all known, none is missed."""
        node = self.root.get("server")
        server = self.section("server", ServerSettings)
        if server is None or not isinstance(node, MappingNode):
            return ServerSettings()
        self.faults += exposure(server, node)
        below = node.get("registration")
        if server.registration is not None and isinstance(below, MappingNode):
            known = [server.registration.source] if sources is None else sources
            listeners = {name: getattr(server, name) for name in ("http", "admin", "probes")}
            self.faults += registration_faults(
                server.registration, below, listeners=listeners, sources=known
            )
        return server


def _only(found: tuple[Document | ConfigError, ...], file: str) -> AnyNode:
    """The root of the only document.

    Raises:
        ConfigError: if it is broken, or there are none or several.
    """
    broken = [one for one in found if isinstance(one, ConfigError)]
    if broken:
        raise ConfigError.joined(broken)
    roots = [one.root for one in found if isinstance(one, Document)]
    if not roots:
        raise ConfigError("the settings are empty", file=file, line=1, remedy=_EXAMPLE)
    if len(roots) > 1:
        raise roots[1].fault(
            "a second document begins here", "put all settings in one document, without ---"
        )
    return roots[0]


def _inner(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "$schema"}


def _position(fault: ConfigError) -> tuple[int, int]:
    return fault.line or 0, fault.column or 0
