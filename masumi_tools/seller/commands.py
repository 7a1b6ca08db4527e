"""What the command line calls to serve, work, register and list jobs. Plain functions; nothing is printed here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.seller import trial
from masumi_tools.seller.register import Registered, Registrar, SourceType
from masumi_tools.seller.service import Service
from masumi_tools.settings import Serving, Settings


def load(target: str) -> Service:
    """The service that "FILE.py:name" or "package.module:name" names; ":service" may be left out.

    InputError says what is wrong with the target. What the file itself raises passes through.
    """
    place, _, name = target.rpartition(":") if ":" in target else (target, "", "service")
    if not place or not name.isidentifier():
        raise InputError(f"{target!r} names no service: write FILE.py:service", phase="load")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_name(place)
    found = getattr(module, name, None)
    if not isinstance(found, Service):
        made = "nothing" if found is None else f"a {type(found).__name__}"
        raise InputError(f"{place} has {made} under the name {name}; sell(...) makes a service", phase="load")
    return found


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"there is no file {path}", phase="load")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be read as Python", phase="load")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _from_name(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name and not name.startswith(f"{error.name}."):
            raise
        raise InputError(f"there is no module {name}", phase="load") from error


def serve(
    target: str,
    *,
    host: str | None = None,
    port: int | None = None,
    drain_s: float | None = None,
    trusted_proxies: Sequence[str] | None = None,
    settings: Settings | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Take requests and work until the process is told to stop. In a sandbox the service is listed first."""
    service = _under(settings, load(target))
    serving = Serving.from_env()
    host, port = host or serving.host, serving.port if port is None else port
    url = f"http://{host}:{port}"
    if service.settings.sandbox and not service.settings.agent_identifier:
        service = service.with_settings(trial.remembered(service.offer, service.settings, url))
    if service.settings.sandbox and not service.settings.agent_identifier:
        service = service.with_settings(trial.listed(service.offer, service.settings, url))
        say(f"listed in the sandbox as {service.settings.agent_identifier}")
    words = f"{service.offer.name} accepts jobs at {url} (API: {url}/docs). Press Ctrl-C to stop."
    service.run(host, port, drain_s=drain_s, trusted_proxies=trusted_proxies, ready=lambda: say(words))


def _under(settings: Settings | None, service: Service) -> Service:
    return service if settings is None else service.with_settings(settings)


def worker(target: str, *, settings: Settings | None = None) -> None:
    """Work without taking requests, beside processes that serve on the same database."""
    _under(settings, load(target)).work()


def register(
    target: str,
    *,
    update: bool = False,
    deregister: bool = False,
    source_type: SourceType = "Web3CardanoV1",
    wait_s: float = 900,
    settings: Settings | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Registered:
    """Register the service, update or take back its registration; waits at most `wait_s` for the chain.

    InputError with everything that must be mended first; RegistrationTrouble where the node refuses.
    """
    if update and deregister:
        raise InputError("--update and --deregister exclude each other", phase="register")
    service = _under(settings, load(target))
    with Registrar(service.offer, service.settings, say=say, wait_s=wait_s) as registrar:
        if deregister:
            return registrar.deregister()
        return registrar.update() if update else registrar.register(source_type)
