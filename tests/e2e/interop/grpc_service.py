"""A gRPC service whose answer is who answers and what was sent, and a client of it: python3 grpc_service.py serve PORT | call TARGET AUTHORITY TIMES."""
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


def call(target, authority, times):
    options = [("grpc.default_authority", authority)] if authority else []
    with grpc.insecure_channel(target, options) as channel:
        say = channel.unary_unary(METHOD)
        for i in range(times):
            print(say(f"hello {i}".encode(), timeout=20, wait_for_ready=True).decode())


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        call(sys.argv[2], sys.argv[3], int(sys.argv[4]))
