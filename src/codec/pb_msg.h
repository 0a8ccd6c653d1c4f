#pragma once
/* Protobuf messages (protobuf-c) by their descriptors: what is set, what stands in a field, and the
 * wire form under limits. A message lives in one arena and goes with it: never free it. */

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Deepest nesting of messages accepted, on the wire and as JSON. */
enum { PB_DEPTH_MAX = 64 };

/* An empty message; NULL over the arena's cap. */
ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, struct arena *a) NODISCARD;
/* -EBADMSG malformed (a string with a zero byte or that is not UTF-8 too), -E2BIG nested deeper
 * than PB_DEPTH_MAX, -ENOMEM over the arena's cap; the path of the field in reterr. Fields that the
 * descriptor does not know are kept in unknown_fields. */
int pb_unpack(const ProtobufCMessageDescriptor *d, struct str bytes, struct arena *a,
              ProtobufCMessage **ret, struct err *reterr) NODISCARD;
/* Appends the wire form. -ENOMEM if b takes no more. */
int pb_pack(const ProtobufCMessage *m, struct buf *b) NODISCARD;

/* Is a value there? A scalar outside a oneof: one that is not its default. */
bool pb_is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* Values in a field: of a repeated one its length, else 1 or 0. */
size_t pb_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* The address of value i, of the C type that f->type has in a message. */
const void *pb_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i);
/* Value i of a field of messages. */
const ProtobufCMessage *pb_message(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                                   size_t i);
/* Is f of d a map: repeated entries with key and value? */
bool pb_is_map(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f);
bool pb_in_oneof(const ProtobufCFieldDescriptor *f);
/* The number of the member of f's oneof that is set; 0: none. */
uint32_t pb_oneof_case(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* Bytes of one value of this type inside a message. */
size_t pb_type_size(ProtobufCType type);
/* The field of this number, which must be there. */
const ProtobufCFieldDescriptor *pb_field_of(const ProtobufCMessageDescriptor *d, unsigned number);

static inline bool pb_type_is(const ProtobufCMessageDescriptor *d, const char *full_name)
{
    return strcmp(d->name, full_name) == 0;
}
/* The message's name in a type URL: what follows the last slash. */
struct str pb_type_name(struct str type_url);
