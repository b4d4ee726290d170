"""What holds for every test: fixed seeds and threads, no network, nothing written outside the test's own folder."""

import gc
import os
import random
import socket

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs one process a core

import numpy as np
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Garbage is not looked for among the tests and modules, which stay: a third of the time of collecting them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _repeatable():
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DNADIFF_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    connect = socket.socket.connect

    def only_this_machine(self, address):
        local = not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1", "localhost")
        if not local:
            raise AssertionError(f"a test reached for the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_this_machine)
