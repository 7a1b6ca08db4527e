"""An authority of one's own: trusted for the user's node and registry, and for nobody else."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from masumi_tools.errors import SettingsError
from masumi_tools.settings import Settings
from tests.http.conftest import MakeClient
from tests.http.peer import Peer, always


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.mark.parametrize("variable", ["MASUMI_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_node_is_trusted_by_it_and_no_stranger_is(
    make_client: MakeClient, certificate: ssl.SSLContext, bundle: str, variable: str
) -> None:
    with Peer(always(200, {"here": 1}), tls=certificate) as peer:
        settings = Settings.from_env({"MASUMI_NODE_URL": peer.url, "MASUMI_SANDBOX": "1", variable: bundle})
        client = make_client(settings)
        assert client.get(f"{peer.url}/api/v1/health", to="node").body == {"here": 1}
        assert (
            client.get(f"{peer.url}/availability", to="registry").fault == "unsent"
        )  # another origin's token
    with Peer(always(200, {"here": 1}), tls=certificate) as stranger:
        assert client.get(f"{stranger.url}/availability").fault == "unsent"
        assert stranger.seen == []


def test_without_it_the_node_is_not_trusted(make_client: MakeClient, certificate: ssl.SSLContext) -> None:
    with Peer(always(), tls=certificate) as peer:
        client = make_client(Settings(node_url=peer.url, sandbox=True))
        assert client.get(f"{peer.url}/api/v1/health", to="node").fault == "unsent"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "wrong.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=r"MASUMI_CA_BUNDLE cannot be used: .*file of certificates"):
        Settings.from_env({"MASUMI_CA_BUNDLE": str(file)})
