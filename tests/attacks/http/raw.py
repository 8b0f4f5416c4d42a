"""Requests written byte by byte, for clients that stop in the middle."""

import socket

from tests.fixtures.serving import Serving


def connect(server: Serving) -> socket.socket:
    """Return a new connection."""
    host, port = server.address.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def head_of(route: str, *headers: str) -> bytes:
    """Return the head of a request to ``METHOD /path``."""
    lines = [f"{route} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def read_answer(connection: socket.socket) -> bytes:
    """Read one answer whose head says how long its body is."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    while len(body) < sum(lengths):
        body += _some(connection)
    return head + b"\r\n\r\n" + body


def status_of(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def _some(connection: socket.socket) -> bytes:
    piece = connection.recv(65_536)
    assert piece, "the server hung up"
    return piece
