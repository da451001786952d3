"""Every exception that meshregistry raises on purpose, as one tree.

The tree is split by who is at fault: the user's input, a plugin, a registry, the
derivation, or a peer. The module imports nothing, so it can never be part of an import
cycle. A message is a lower-case clause that names the object and ends with what to do.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "AdsError",
    "ConfigError",
    "GenerationError",
    "InconsistentResources",
    "LocalAdsError",
    "MeshRegistryError",
    "MissingExtraError",
    "MixerError",
    "MixerUnavailable",
    "PilotFailed",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "RecordError",
    "RegistryAuthError",
    "RegistryError",
    "RegistryProtocolError",
    "RegistryUnavailable",
    "Rejected",
    "RemoteAdsError",
    "UnknownKindError",
]


class MeshRegistryError(Exception):
    """The root of the tree; never raised itself."""


class ConfigError(MeshRegistryError):
    """The user's input is wrong.

    Args:
        reason: what is wrong, as a lower-case clause.
        file: the file (or ``<environment>``, ``<arguments>``) that says it.
        field: path inside the document, such as ``sources[1].address``.
        line: line in the file, counted from 1.
        column: column in the line, counted from 1.
        remedy: what to do about it.
        also: further faults of the same input, reported together.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        field: str = "",
        line: int | None = None,
        column: int | None = None,
        remedy: str = "",
        also: Iterable[ConfigError] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.field = field
        self.line = line
        self.column = column
        self.remedy = remedy
        self._also = tuple(also)

    @property
    def faults(self) -> tuple[ConfigError, ...]:
        """This fault and all that were reported with it, in order."""
        return (self, *(fault for other in self._also for fault in other.faults))

    @classmethod
    def joined(cls, faults: Sequence[ConfigError]) -> ConfigError:
        """Make one error of several faults.

        Raises:
            ValueError: if there are no faults.
        """
        if not faults:
            msg = "no faults to join"
            raise ValueError(msg)
        # A fault may come along both by itself and inside another: it is kept once.
        every = {id(fault): fault for one in faults for fault in one.faults}
        first, *rest = every.values()
        for fault in rest:
            fault._also = ()  # noqa: SLF001 - the same class
        first._also = tuple(rest)  # noqa: SLF001 - the same class
        return first

    @property
    def message(self) -> str:
        """This fault alone, on one line: place, field, reason, remedy."""
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}" if place else f"line {self.line}"
            if self.column is not None:
                place += f":{self.column}"
        parts = [part for part in (place, self.field, self.reason) if part]
        text = ": ".join(parts)
        return f"{text}; {self.remedy}" if self.remedy else text

    def __str__(self) -> str:
        return "\n".join(fault.message for fault in self.faults)


class UnknownKindError(ConfigError):
    """A source asks for a registry kind that no loaded plugin provides.

    When the kind is one that the project knows of, `install` is the line to type.
    """

    def __init__(
        self,
        reason: str,
        *,
        kind: str,
        install: str | None = None,
        file: str | None = None,
        field: str = "",
        line: int | None = None,
        column: int | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(reason, file=file, field=field, line=line, column=column, remedy=remedy)
        self.kind = kind
        self.install = install


class MissingExtraError(MeshRegistryError, ImportError):
    """A part of the library needs an extra that is not installed.

    Attributes:
        extra: one that has the package.
        missing: the package.
        others: further extras that have it, for what several need.
    """

    def __init__(self, extra: str, missing: str, *others: str) -> None:
        choice = "".join(f" or 'meshregistry[{one}]'" for one in others)
        super().__init__(
            f"this needs the package {missing!r}, which is not installed; "
            f"type: pip install 'meshregistry[{extra}]'{choice}"
        )
        self.extra = extra
        self.others = others
        self.missing = missing


class PluginError(MeshRegistryError):
    """A plugin is at fault; carries its name."""

    def __init__(self, message: str, *, plugin: str) -> None:
        super().__init__(message)
        self.plugin = plugin


class PluginLoadError(PluginError):
    """Importing or validating a plugin failed; the cause is chained."""


class PluginConflictError(PluginError):
    """Two plugins claim one name."""


class RegistryError(MeshRegistryError):
    """A registry could not be read; the core adds the source id when it reports it."""

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(message)
        self.source = source


class RegistryUnavailable(RegistryError):
    """The backend does not answer: retry soon."""


class RegistryAuthError(RegistryError):
    """The backend refuses the credentials: retry slowly."""


class RegistryProtocolError(RegistryError):
    """The backend answered nonsense, or the adapter broke its contract."""


class RecordError(RegistryError):
    """One record is malformed; without a key nothing is known of which one it was."""

    def __init__(self, message: str, *, key: str | None = None, source: str | None = None) -> None:
        super().__init__(message, source=source)
        self.key = key


class GenerationError(MeshRegistryError):
    """One resource could not be generated."""

    def __init__(self, message: str, *, type_url: str = "", name: str = "") -> None:
        super().__init__(message)
        self.type_url = type_url
        self.name = name


class InconsistentResources(GenerationError):
    """A set refers to resources that it does not hold.

    `dangling` lists (referring type, referring name, missing type, missing name).
    """

    def __init__(self, dangling: Sequence[tuple[str, str, str, str]]) -> None:
        self.dangling = tuple(dangling)
        most = 5
        shown = ", ".join(
            f"{_short(by_type)} {by!r} needs {_short(type_url)} {name!r}"
            for by_type, by, type_url, name in self.dangling[:most]
        )
        more = f" and {len(self.dangling) - most} more" if len(self.dangling) > most else ""
        super().__init__(
            f"the resources are not consistent: {shown}{more}; add what is missing, "
            "name it in external=, or pass consistent=False"
        )


class AdsError(MeshRegistryError):
    """A fault in the xDS conversation; only its two children are raised."""

    def __init__(self, message: str) -> None:
        if type(self) is AdsError:
            msg = "raise LocalAdsError or RemoteAdsError: who is at fault?"
            raise TypeError(msg)
        super().__init__(message)


class LocalAdsError(AdsError):
    """Our caller misused the session."""


class RemoteAdsError(AdsError):
    """The peer broke the protocol; `status` is the gRPC status to close with."""

    def __init__(self, message: str, *, status: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.status = status


class Rejected(MeshRegistryError):
    """A proxy refused (NACKed) what it was sent."""

    def __init__(self, message: str, *, node: str, type_url: str, version: str) -> None:
        super().__init__(message)
        self.node = node
        self.type_url = type_url
        self.version = version


class MixerError(MeshRegistryError):
    """A fault in the conversation between a client of Mixer and its server."""


class MixerUnavailable(MixerError):
    """No server answered a check in time, and the caller wanted no verdict without one.

    `status` is the gRPC status of the last attempt. A denial is a result, not an error.
    """

    def __init__(self, message: str, *, status: str = "UNAVAILABLE") -> None:
        super().__init__(message)
        self.status = status


class PilotFailed(MeshRegistryError):
    """The core of a running pilot has failed; the fault is chained."""


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2] or type_url
