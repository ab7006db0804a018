"""Checks of a running cluster before it is joined: its address, token, versions and nodes.

Ray's own `init` waits for minutes at an address where nothing answers, 20 s at one that refuses its token and
60 s on a machine that is no node, and prints a line a second meanwhile. The requests made here are
answered in milliseconds, or fail after `_TIMEOUT_SECONDS`.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from typing import Any

import grpc
import ray
from ray import _raylet
from ray._common.tls_utils import load_certs_from_env
from ray._private import services
from ray._private.ray_constants import GLOBAL_GRPC_OPTIONS
from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

from sa_study.utils.errors import ConfigError

_TIMEOUT_SECONDS = 10.0
"""Time that a cluster has to answer a request."""

_AUTH_MODE = "RAY_AUTH_MODE"

AUTH_VARIABLES = (_AUTH_MODE, "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_K8S_TOKEN_AUTH")
"""Ray's environment variables for the authentication of nodes and drivers."""

Metadata = Sequence[tuple[str, str]]

# Compiled, or generated at import: mypy cannot read them.
_messages: Any = gcs_service_pb2
_nodes: Any = gcs_pb2
_compiled: Any = _raylet
_services: Any = services


def unset_empty_variables() -> None:
    """Removes empty variables of Ray, and an empty TMPDIR, from this process's environment.

    With an empty `RAY_AUTH_TOKEN` Ray would write a new token, readable to all, into the home directory.
    """
    for name, value in list(os.environ.items()):
        if not value and (name.startswith(("RAY_", "TUNE_")) or name == "TMPDIR"):
            del os.environ[name]
    reload_authentication()


def reload_authentication() -> None:
    """Makes Ray in this process read the environment again, as it did at its import."""
    _compiled.Config.initialize("")
    _compiled.AuthenticationTokenLoader.instance().reset_cache()


def join_address(address: str) -> str:
    """Finds a running cluster and checks that it accepts this process as a driver.

    Sets this process's `RAY_AUTH_MODE` to `token` where the cluster wants one: Ray does so in some cases
    only, and a driver whose mode is not the cluster's hangs or loses its workers.

    Args:
        address: `auto` or `HOST:PORT`.

    Returns:
        `HOST:PORT`.

    Raises:
        ConfigError: There is no cluster, it does not accept this driver, or it runs other versions.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address  # Ray sets it in submitted jobs
    if "@" in address:
        raise ConfigError(
            "--address: holds a user or a token; give HOST:PORT, and the token in RAY_AUTH_TOKEN"
        )
    try:
        found = _host_and_port(address)
        try:
            with _channel(found) as channel:
                headers = _authenticate(found, channel)
                _require_same_versions(channel, headers)
                _require_node_here(found, channel, headers)
        except grpc.RpcError as error:
            raise ConfigError(_reason(found, error)) from None
    except ConfigError as error:
        raise ConfigError(f"--address {address}: {error}") from None
    return found


def _host_and_port(address: str) -> str:
    """The `HOST:PORT` of an address; for `auto`, the cluster here that was started last."""
    if address.startswith("ray://"):
        # Behind Ray Client, Tune runs on the head node, but a study's folder and database are the driver's.
        raise ConfigError(
            "a study's driver runs on a node of the cluster; log in to one and give --address auto, or use "
            "'ray job submit'"
        )
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        return address
    if address != "auto":
        raise ConfigError("expected auto or HOST:PORT")
    _services.find_gcs_addresses.cache_clear()
    running: set[str] = set(_services.find_gcs_addresses())
    last: str | None = _services.find_bootstrap_address(None)
    if not running:
        raise ConfigError(
            "no Ray cluster runs on this machine; begin one with 'ray start --head', or leave --address out"
        )
    if len(running) > 1 and last not in running:
        listed = ", ".join(sorted(running))
        raise ConfigError(f"several Ray clusters run on this machine; give one of {listed}")
    return last if last in running else running.pop()


def _channel(found: str) -> grpc.Channel:
    """A connection with Ray's own options, which bypass the proxies that the environment names."""
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return grpc.insecure_channel(found, options=GLOBAL_GRPC_OPTIONS)
    try:
        chain, key, root = load_certs_from_env()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"RAY_USE_TLS: the certificates cannot be used ({error})") from None
    credentials = grpc.ssl_channel_credentials(root, key, chain)
    return grpc.secure_channel(found, credentials, options=GLOBAL_GRPC_OPTIONS)


def _authenticate(found: str, channel: grpc.Channel) -> Metadata:
    """The headers of every request: none for an open cluster, else the token."""
    if _accepts(channel, ()):
        if os.environ.get(_AUTH_MODE, "").lower() == "token":
            raise ConfigError(
                f"{found} is open to anyone, but {_AUTH_MODE}=token is set here; begin the cluster with "
                f"{_AUTH_MODE}=token on every node, or unset it here"
            )
        return ()
    source = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    if os.environ.get("RAY_AUTH_TOKEN"):
        source = "RAY_AUTH_TOKEN"
    advice = "give the cluster's in RAY_AUTH_TOKEN, or its file in RAY_AUTH_TOKEN_PATH"
    try:
        token = _compiled.AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True)
    except ray.exceptions.AuthenticationError:  # a file that is missing or empty
        token = None
    if not token:
        raise ConfigError(f"{found} wants a token and {source} holds none; {advice}")
    headers = (("authorization", f"Bearer {token}"),)
    if not _accepts(channel, headers):
        raise ConfigError(f"{found} refuses the token of {source}; {advice}")
    os.environ[_AUTH_MODE] = "token"
    reload_authentication()
    return headers


def _accepts(channel: grpc.Channel, headers: Metadata) -> bool:
    stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
    request = _messages.GetClusterIdRequest()
    try:
        stub.GetClusterId(request, timeout=_TIMEOUT_SECONDS, wait_for_ready=True, metadata=headers)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            return False
        raise
    return True


def _require_same_versions(channel: grpc.Channel, headers: Metadata) -> None:
    stub = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel)
    request = _messages.InternalKVGetRequest(namespace=b"cluster", key=b"CLUSTER_METADATA")
    about = json.loads(stub.InternalKVGet(request, timeout=_TIMEOUT_SECONDS, metadata=headers).value or b"{}")
    ours = (ray.__version__, platform.python_version())
    theirs = (about.get("ray_version", ours[0]), about.get("python_version", ours[1]))
    if ours != theirs:
        raise ConfigError(
            f"the cluster runs Ray {theirs[0]} on Python {theirs[1]}, this driver Ray {ours[0]} on Python "
            f"{ours[1]}; make them the same"
        )


def _require_node_here(found: str, channel: grpc.Channel, headers: Metadata) -> None:
    """Checks that this machine is a node of the cluster; a driver shares memory with that node."""
    stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
    request = _messages.GetAllNodeInfoRequest(state_filter=_nodes.GcsNodeInfo.ALIVE)
    alive = stub.GetAllNodeInfo(request, timeout=_TIMEOUT_SECONDS, metadata=headers).node_info_list
    if _services.find_node_ids().isdisjoint(node.node_id.hex() for node in alive):
        raise ConfigError(
            f"this machine is no node of the cluster at {found}; launch on one of its nodes, or make it one "
            f"with 'ray start --address={found}'"
        )


def _reason(found: str, error: Any) -> str:
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return f"nothing answers at {found}; is it up, and the port that of 'ray start --head --port'?"
    return f"what answers at {found} is no Ray cluster ({error.code().name.lower()})"
