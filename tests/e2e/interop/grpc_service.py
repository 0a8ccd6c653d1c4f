"""A gRPC service whose answer is who answers and what was sent, and a client of it: python3 grpc_service.py serve PORT | call TARGET AUTHORITY."""
import os
import sys
from concurrent import futures

import grpc

METHOD = "/fairlead.Interop/Say"


def serve(port):
    def say(request, context):
        return f"{os.uname().nodename} {request.decode()}".encode()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("fairlead.Interop", {"Say": grpc.unary_unary_rpc_method_handler(say)}),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


def call(target, authority):
    """A call for each line of standard input; each answer on a line, or what has come instead."""
    options = [("grpc.default_authority", authority)] if authority else []
    with grpc.insecure_channel(target, options) as channel:
        say = channel.unary_unary(METHOD)
        for line in sys.stdin:
            try:
                print(say(line.strip().encode(), timeout=10).decode(), flush=True)
            except grpc.RpcError as e:
                print("failed", e.code().name, e.details(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        call(sys.argv[2], sys.argv[3])
