#pragma once
/* What the files that read JSON into messages share. */

#include "codec/pb_json.h"

/* Memory for the contents of one Any, and their wire form; of an Any in an Any half as much, and so
 * on. */
enum { PB_JSON_ANY_MAX = 64 << 20 };

struct pb_json_reader {
    const struct pb_json_types *types;
    struct arena *arena;
    struct pb_path path;
    unsigned depth, anys; /* nested around here */
    struct err *err;
    /* The common form, which the types with a form of their own lead back to. */
    int (*read_message)(struct pb_json_reader *r, const json_t *j,
                        const ProtobufCMessageDescriptor *d, ProtobufCMessage **ret);
    /* One value into its place in a message. */
    int (*read_value)(struct pb_json_reader *r, const json_t *j, const ProtobufCFieldDescriptor *f,
                      void *at);
};

/* A type with a JSON form of its own gets the value as it stands and a fresh message; NULL: the
 * common form, an object of fields. */
typedef int (*pb_json_known_reader)(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m);
pb_json_known_reader pb_json_known_read(const ProtobufCMessageDescriptor *d);

/* -EINVAL "expected a string, not an integer". */
int pb_json_mismatch(struct pb_json_reader *r, const json_t *j, const char *expected);
int pb_json_no_memory(struct pb_json_reader *r);
