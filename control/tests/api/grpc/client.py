"""A gRPC client that knows of control only what reflection tells it.

Reads a JSON list of calls from standard input, and prints one line of JSON for each: what came of it.
ADDRESS is where control is, CA a file with the authority of its certificate (none: in clear).
"""

import json
import os
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status


def open_channel():
    ca = os.environ.get("CA")
    if not ca:
        return grpc.insecure_channel(os.environ["ADDRESS"])
    with open(ca, "rb") as file:
        return grpc.secure_channel(os.environ["ADDRESS"], grpc.ssl_channel_credentials(file.read()))


channel = open_channel()
database = ProtoReflectionDescriptorDatabase(channel)
pool = descriptor_pool.DescriptorPool(database)


def call(service, method, request, metadata):
    described = pool.FindServiceByName(service).FindMethodByName(method)
    ask, answer = (message_factory.GetMessageClass(kind) for kind in (described.input_type, described.output_type))
    rpc = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=ask.SerializeToString,
        response_deserializer=answer.FromString,
    )
    message = json_format.ParseDict(request, ask())
    metadata = [tuple(pair) for pair in metadata]
    try:
        response, done = rpc.with_call(message, metadata=metadata, timeout=20)
    except grpc.RpcError as error:
        return refused(error)
    return {
        "code": "OK",
        "response": json_format.MessageToDict(response, preserving_proto_field_name=True),
        "metadata": dict(done.initial_metadata()),
    }


def refused(error):
    told = {"code": error.code().name, "message": error.details(), "metadata": dict(error.trailing_metadata() or [])}
    told["metadata"].pop("grpc-status-details-bin", None)
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if detail.Is(kind.DESCRIPTOR):
                unpacked = kind()
                detail.Unpack(unpacked)
                told[kind.DESCRIPTOR.name] = json_format.MessageToDict(unpacked)
    return told


for asked in json.load(sys.stdin):
    if asked.get("services"):
        came = {"services": sorted(database.get_services())}
    else:
        came = call(asked["service"], asked["method"], asked["request"], asked.get("metadata", []))
    print(json.dumps(came), flush=True)
