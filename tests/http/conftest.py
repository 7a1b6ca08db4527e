"""Both clients for every test, and names that resolve to what a test says."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from masumi_tools.net import dialling
from masumi_tools.settings import Settings
from tests.http.peer import Client

MakeClient = Callable[..., Client]


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes a client with the settings given; runs the test with each of the two."""
    made: list[Client] = []

    def make(settings: Settings | None = None, **options: Any) -> Client:
        made.append(Client(request.param, settings or Settings(), **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def sandboxed(make_client: MakeClient) -> Client:
    """A client to which services on loopback are allowed."""
    return make_client(Settings(sandbox=True))


class Names:
    """The resolver's answers: a list for each name, or several lists that are given one after the other."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: dict[str, list[list[str]]] = {}

    def set(self, name: str, *answers: list[str]) -> None:
        self._answers[name] = list(answers)

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if answers is None:
            return _resolve(host, port)
        return answers.pop(0) if len(answers) > 1 else answers[0]


_resolve = dialling.resolve


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Fakes the one function that resolves names, and nothing else."""
    fake = Names()
    monkeypatch.setattr(dialling, "resolve", fake.resolve)
    return fake


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of this test run."""
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client trusts: that authority alone."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    """A server's certificate for seller.example and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("seller.example", "127.0.0.1").configure_cert(context)
    return context
