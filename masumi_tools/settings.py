"""Where node and registry are, who we are, and where the journal lies; the only reader of the environment."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol
from urllib.parse import SplitResult, urlsplit

from masumi_tools.errors import SettingsError
from masumi_tools.keywords import named
from masumi_tools.text import Secret, no_text, redact

Network = Literal["Preprod", "Mainnet"]

__all__ = ["Network", "SandboxLike", "Secret", "Serving", "Settings", "VARIABLES", "hush_crewai"]

# Field of Settings -> its environment variables; ours first, then the names of the official kit.
VARIABLES: Mapping[str, tuple[str, ...]] = {
    "node_url": ("MASUMI_NODE_URL", "PAYMENT_SERVICE_URL"),
    "node_token": ("MASUMI_NODE_TOKEN", "PAYMENT_API_KEY"),
    "registry_url": ("MASUMI_REGISTRY_URL", "REGISTRY_SERVICE_URL"),
    "registry_token": ("MASUMI_REGISTRY_TOKEN", "REGISTRY_API_KEY"),
    "network": ("MASUMI_NETWORK", "NETWORK"),
    "database_url": ("MASUMI_DATABASE_URL",),
    "agent_identifier": ("MASUMI_AGENT_IDENTIFIER", "AGENT_IDENTIFIER"),
    "seller_vkey": ("MASUMI_SELLER_VKEY", "SELLER_VKEY"),
    "most_bound_days": ("MASUMI_MOST_BOUND_DAYS",),
    "sandbox": ("MASUMI_SANDBOX",),
    "ca_bundle": ("MASUMI_CA_BUNDLE", "SSL_CERT_FILE"),
    "notify_url": ("MASUMI_NOTIFY_URL",),
    "notify_key": ("MASUMI_NOTIFY_KEY",),
}

_EXAMPLES = {
    "node_url": "http://localhost:3001/api/v1",
    "registry_url": "http://localhost:3000/api/v1",
    "notify_url": "https://ntfy.sh/my-topic",
}
_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")


class SandboxLike(Protocol):
    """What `Settings.from_sandbox` reads of a sandbox."""

    @property
    def node_url(self) -> str: ...
    @property
    def registry_url(self) -> str: ...
    @property
    def token(self) -> str: ...


@named
@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Everything that a hire or a shop must know about its surroundings. Frozen; made by hand or `from_env`.

    URLs are taken as people paste them and used through `node_api` and `registry_api`. Tokens may be
    given as text and are held as `Secret`. `database_url` is the journal: when empty, an SQLite file
    of its own for each network in the user's data folder. `sandbox` allows services on loopback (and
    follows the sandbox's clock); it must be False where money is real. `most_bound_days` is for how long
    an offer may bind the money at most, up to its last deadline; one that asks for more is refused unpaid.
    `notify_url` receives a notice when a hire waits for approval and when an open hire ends, signed with `notify_key`.

    Raises SettingsError that names the setting and its environment variable; a settings object shows
    no secret in its repr and cannot be pickled while it holds one.
    """

    node_url: str | None = None
    node_token: Secret | None = None
    registry_url: str | None = None
    registry_token: Secret | None = None
    network: Network = "Preprod"
    database_url: str = ""
    agent_identifier: str | None = None
    seller_vkey: str | None = None
    sandbox: bool = False
    most_bound_days: float = 14.0
    ca_bundle: str | None = None
    notify_url: str | None = None
    notify_key: Secret | None = None
    _database_password: Secret | None = field(default=None, init=False, compare=False)

    if TYPE_CHECKING:  # tokens may be given as text, which the fields alone would not say

        def __init__(
            self,
            node_url: str | None = None,
            node_token: Secret | str | None = None,
            registry_url: str | None = None,
            registry_token: Secret | str | None = None,
            network: Network = "Preprod",
            database_url: str = "",
            agent_identifier: str | None = None,
            seller_vkey: str | None = None,
            sandbox: bool = False,
            most_bound_days: float = 14.0,
            ca_bundle: str | None = None,
            notify_url: str | None = None,
            notify_key: Secret | str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        checked = _checked({f.name: getattr(self, f.name) for f in fields(self) if f.init}, {})
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        password = _split(self.database_url).password
        object.__setattr__(self, "_database_password", Secret(password) if password else None)

    @classmethod
    def from_env(
        cls, env: Mapping[str, str] | None = None, *, over: Mapping[str, str] | None = None
    ) -> Settings:
        """Settings from the environment (or from `env`). Nothing is required; what is missing is said on use.

        Read are the names in `VARIABLES`, ours before the official kit's; empty values count as not
        set, and those in `over` go first. Raises SettingsError that names the variable it does not understand.
        """
        environment = {**(os.environ if env is None else env), **(over or {})}
        values: dict[str, Any] = {}
        names: dict[str, str] = {}
        for setting, variables in VARIABLES.items():
            for variable in variables:
                text = _unquoted(environment.get(variable, ""))
                if text:
                    values[setting], names[setting] = text, variable
                    break
        return cls(**_checked(values, names))

    @classmethod
    def from_sandbox(
        cls,
        sandbox: SandboxLike,
        *,
        network: Network = "Preprod",
        database_url: str = "",
        agent_identifier: str | None = None,
        seller_vkey: str | None = None,
    ) -> Settings:
        """Settings for a running sandbox: its node, registry and token, with services on loopback allowed.

        Without `database_url` the journal is a temporary file, one for each sandbox and process, that
        is removed when the process ends.
        """
        return cls(
            node_url=sandbox.node_url,
            node_token=Secret(sandbox.token),
            registry_url=sandbox.registry_url,
            registry_token=Secret(sandbox.token),
            network=network,
            database_url=database_url or _temporary_journal(sandbox.node_url, sandbox.token),
            agent_identifier=agent_identifier,
            seller_vkey=seller_vkey,
            sandbox=True,
        )

    @property
    def node_api(self) -> str:
        """The node's address up to and with /api/v1, no slash at the end. SettingsError when not set."""
        return _api(self._needed("node_url", "your payment node"))

    @property
    def registry_api(self) -> str:
        """The registry's address up to and with /api/v1, no slash at the end. SettingsError when not set."""
        return _api(self._needed("registry_url", "the registry service"))

    def _needed(self, setting: str, what: str) -> str:
        value: str | None = getattr(self, setting)
        if value is None:
            raise SettingsError(
                f"{VARIABLES[setting][0]} is not set. It is the address of {what}, "
                f"such as {_EXAMPLES[setting]}.",
                field_errors={setting: ["is not set"]},
                phase="settings",
            )
        return value

    def __repr__(self) -> str:
        shown = (f"{f.name}={_shown(getattr(self, f.name))}" for f in fields(self) if f.init)
        return f"Settings({', '.join(shown)})"

    def __copy__(self) -> Settings:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Settings:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.node_token or self.registry_token or self.notify_key or self._database_password:
            raise TypeError("Settings with secrets are not pickled. Make new ones in the other process.")
        return type(self), tuple(getattr(self, f.name) for f in fields(self) if f.init)


# CrewAI reads these when it is imported. Without them it reports home, takes the process's signals and
# hangs for ten seconds at its end where there is no network (measured with 1.15).
_CREWAI_IS_QUIET = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
}


@dataclass(frozen=True, slots=True)
class Serving:
    """How a service is run: where it listens, whom it believes, how it logs and how it ends.

    `trusted_proxies` are addresses or networks whose X-Forwarded-For is believed, `cors` the origins of
    pages in browsers that may call, `drain_s` how long work in progress gets after SIGTERM. `/metrics` is
    shown to this machine, and to who has `metrics_token`.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    drain_s: float = 25.0  # Kubernetes waits for 30 s, then it kills
    trusted_proxies: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    log: Literal["text", "json"] = "text"
    log_level: str = "WARNING"
    metrics_token: Secret | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Serving:
        """As the environment says; SettingsError that names the variable which it does not understand."""
        environment = os.environ if env is None else env
        said = {name: _unquoted(environment.get(variable, "")) for name, variable in SERVING.items()}
        values: dict[str, Any] = {name: text for name, text in said.items() if text}
        for name, of in (("port", int), ("drain_s", float)):
            if name in values:
                values[name] = _number(values[name], of, SERVING[name])
        for name in ("trusted_proxies", "cors"):
            if name in values:
                values[name] = tuple(part.strip() for part in values[name].split(",") if part.strip())
        if values.get("log", "text") not in ("text", "json"):
            raise SettingsError(f"{SERVING['log']} must be text or json", phase="settings")
        level = values.get("log_level", "WARNING").upper()
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            raise SettingsError(f"{SERVING['log_level']} must be a level such as INFO", phase="settings")
        values["log_level"] = level
        if "metrics_token" in values:
            values["metrics_token"] = Secret(values["metrics_token"])
        return cls(**values)


# Field of Serving -> its environment variable.
SERVING: Mapping[str, str] = {
    "host": "HOST",
    "port": "PORT",
    "drain_s": "MASUMI_DRAIN_S",
    "trusted_proxies": "MASUMI_TRUSTED_PROXIES",
    "cors": "MASUMI_CORS",
    "log": "MASUMI_LOG",
    "log_level": "MASUMI_LOG_LEVEL",
    "metrics_token": "MASUMI_METRICS_TOKEN",
}


def _number(text: str, of: Callable[[str], Any], variable: str) -> Any:
    try:
        number = of(text)
    except ValueError:
        number = -1
    if not 0 <= number < 100_000:
        raise SettingsError(f"{variable} must be a number, not {text!r}", phase="settings")
    return number


def hush_crewai() -> None:
    """Switch CrewAI's telemetry, tracing question and version check off, where the user set nothing else.

    Call it before crewai is imported.
    """
    for name, value in _CREWAI_IS_QUIET.items():
        os.environ.setdefault(name, value)


def _shown(value: object) -> str:
    return repr(redact(value)) if isinstance(value, str) else repr(value)


def _checked(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The settings read and checked; `names` says from which variable each came."""
    read: dict[str, Any] = {}
    for setting, value in values.items():
        name = names.get(setting, VARIABLES[setting][0])
        read[setting] = _READERS[setting](setting, name, value)
    if not read.get("database_url"):
        read["database_url"] = _default_database_url(
            read.get("network", "Preprod"), bool(read.get("sandbox", False))
        )
    return read


def _wrong(setting: str, name: str, why: str) -> NoReturn:
    raise SettingsError(f"{name} {why}", field_errors={setting: [why]}, phase="settings")


def _read_url(setting: str, name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        _wrong(setting, name, "must be text, an address.")
    text = value.strip()
    example = _EXAMPLES[setting]
    if re.search(r"[\s\x00-\x1f\x7f\\]", text):
        _wrong(setting, name, f"contains a space, a line break or a backslash. Example: {example}.")
    if no_text({name: text}) is not None:
        _wrong(setting, name, f"contains half a character, which is not text. Example: {example}.")
    parts = _split(text)
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        _wrong(setting, name, f"must begin with http:// or https:// and a host, such as {example}.")
    if "@" in parts.netloc:
        _wrong(setting, name, "must hold no user name or password; the token has a variable of its own.")
    if not _has_place(parts):
        _wrong(setting, name, f"has no usable host and port. Example: {example}.")
    return text


def _has_place(parts: SplitResult) -> bool:
    try:
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _read_secret(setting: str, name: str, value: Any) -> Secret | None:
    if value is None:
        return None
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        _wrong(setting, name, "must be text, the key that the node or registry gave out.")
    text = text.strip()
    if not text:
        return None
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        _wrong(setting, name, "contains a character that no key has (a space, a line break or an accent).")
    return value if isinstance(value, Secret) and value.reveal() == text else Secret(text)


def _read_network(setting: str, name: str, value: Any) -> str:
    for network in ("Preprod", "Mainnet"):
        if isinstance(value, str) and value.strip().lower() == network.lower():
            return network
    _wrong(setting, name, f"is {redact(value, 40)!r}, but the network is Preprod or Mainnet.")


def _read_database_url(setting: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        _wrong(setting, name, "must be text, a database address.")
    text = value.strip()
    if text and not re.match(r"[A-Za-z][\w+.-]*://", text):
        _wrong(
            setting,
            name,
            "must be a database address, such as sqlite:////home/me/masumi.sqlite3 "
            "or postgresql://user:password@host/name.",
        )
    return text


def _read_name(setting: str, name: str, value: Any) -> str | None:
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(r"[\x21-\x7e]{1,250}", text):
        _wrong(setting, name, "must be the hexadecimal text from the node, without spaces.")
    return text


def _read_switch(setting: str, name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in _YES + _NO:
        _wrong(setting, name, f"is {redact(value, 40)!r}, but it must be 1 (yes) or 0 (no).")
    return text in _YES


def _read_days(setting: str, name: str, value: Any) -> float:
    try:
        days = float(value)
    except (TypeError, ValueError):
        days = 0.0
    if isinstance(value, bool) or not 0 < days <= 36_500:
        _wrong(setting, name, "must be a number of days above 0, such as 14.")
    return days


@lru_cache
def _read_certificates(file: str) -> None:
    """Nothing, when the file holds certificates; once for each, as it takes as long as a request."""
    ssl.create_default_context(cafile=file)


def _read_ca(setting: str, name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not (text := value.strip()):
        _wrong(setting, name, "must be text, the path of a file of certificates (PEM).")
    try:
        _read_certificates(text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds no certificates"
        _wrong(
            setting, name, f"cannot be used: {redact(text, 200)}: {why}. It is a file of certificates (PEM)."
        )
    return text


_READERS = {
    "node_url": _read_url,
    "node_token": _read_secret,
    "registry_url": _read_url,
    "registry_token": _read_secret,
    "network": _read_network,
    "database_url": _read_database_url,
    "agent_identifier": _read_name,
    "seller_vkey": _read_name,
    "sandbox": _read_switch,
    "most_bound_days": _read_days,
    "ca_bundle": _read_ca,
    "notify_url": _read_url,
    "notify_key": _read_secret,
}


def read_env_file(path: Path) -> dict[str, str]:
    """The settings in a file of NAME=value lines; other names are left alone. SettingsError when it cannot be read."""
    known = {variable for variables in VARIABLES.values() for variable in variables}
    return {name: value for name, value in _env_lines(path).items() if name in known}


def _env_lines(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"the env file {path} cannot be read: {why}", phase="settings") from None
    found: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", name.strip()):
            found[name.strip()] = value if value.strip()[:1] in ("'", '"') else value.split(" #", 1)[0]
    return {name: _unquoted(value) for name, value in found.items()}


def environment(env_file: Path | None = None) -> dict[str, str]:
    """What the environment sets, over an env file: the one named, else `.env` in this folder where there is one."""
    file = _env_file(env_file)
    known = read_env_file(file) if file is not None else {}
    return known | {name: value for name, value in os.environ.items() if value}


def take_env_file(env_file: Path | None = None) -> None:
    """Set what the env file says and the environment does not, for this process and the work that it does."""
    file = _env_file(env_file)
    for name, value in (_env_lines(file) if file is not None else {}).items():
        if value and not os.environ.get(name):
            os.environ[name] = value


def _env_file(named: Path | None) -> Path | None:
    here = Path(".env")
    return named if named is not None else here if here.is_file() else None


def proxies() -> list[str]:
    """The variables of the environment that name a proxy; none of them is used."""
    named = {"http_proxy", "https_proxy", "all_proxy"}
    return sorted(name for name, value in os.environ.items() if value and name.lower() in named)


def _unquoted(text: str) -> str:
    """Env files that are passed on unread keep their quotes; no setting begins and ends with one."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


@lru_cache(maxsize=32)
def _api(url: str) -> str:
    """The API's base for an address as people copy it: from the browser, the docs page or an endpoint."""
    parts = urlsplit(url)
    path = parts.path
    if (at := re.search(r"/api/v1(?=/|$)", path)) is not None:
        base = path[: at.start()]
    else:
        page = re.search(r"/(?:admin|docs|api-docs)(?=/|$)", path)
        base = (path[: page.start()] if page else path).rstrip("/").removesuffix("/api")
    return f"{parts.scheme.lower()}://{parts.netloc}{base.rstrip('/')}/api/v1"


def demo_database_url() -> str:
    """Where the last demo left its hires, for the page to show; SettingsError where there is no folder for it."""
    return _default_database_url("demo", False)


def _default_database_url(network: str, sandbox: bool) -> str:
    """A file for each network: test money and real money share no budget."""
    import platformdirs

    folder: Path | None
    try:
        folder = platformdirs.user_data_path("masumi_tools", appauthor=False)
    except (RuntimeError, OSError):
        folder = None
    if (
        folder is None or not folder.is_absolute()
    ):  # a folder named "~" here is another journal than one there
        _wrong(
            "database_url",
            "MASUMI_DATABASE_URL",
            "must say where hires are kept, since this user has no home directory that is known here.",
        )
    file = "sandbox.sqlite3" if sandbox else f"{network.lower()}.sqlite3"
    return f"sqlite:///{folder / file}"


@lru_cache(maxsize=256)
def _temporary_journal(node_url: str, token: str) -> str:
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="masumi-sandbox-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"sqlite:///{folder}/journal.sqlite3"
