"""Print COUNT ports that are free on 127.0.0.1 and whose neighbour 10000 above is free too.

SeaweedFS serves gRPC on each of its ports plus 10000. Both stay under 32768, where the system hands out the ports of
outgoing connections. Somebody may still take a port before it is used: whoever starts a service tries again.
"""

import random
import socket
import sys

GRPC_OFFSET = 10_000
RANGE = range(12_000, 22_000)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main() -> None:
    wanted = int(sys.argv[1])
    found: list[int] = []
    for port in random.sample(RANGE, len(RANGE)):
        if len(found) == wanted:
            break
        if is_free(port) and is_free(port + GRPC_OFFSET):
            found.append(port)
    if len(found) < wanted:
        sys.exit(f"only {len(found)} of {wanted} free ports found")
    print(*found)


if __name__ == "__main__":
    main()
