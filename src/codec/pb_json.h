#pragma once
/* The protobuf JSON mapping by descriptors: a JSON tree into a message and back. Reading takes
 * lowerCamelCase and snake_case, enums by name or number, 64-bit numbers as strings or numbers;
 * printing gives snake_case, as Envoy's config_dump does, and leaves out what is not set. */

#include "codec/json.h"
#include "codec/pb_msg.h"
#include "codec/pb_path.h"

/* The types that an Any may hold. */
struct pb_json_types {
    /* The descriptor of a full name such as google.protobuf.Duration; NULL: not known. */
    const ProtobufCMessageDescriptor *(*find)(struct str full_name);
    /* Does d stand, without fields, for a message whose contents nobody reads? They are passed
     * over. May be NULL. */
    bool (*is_opaque)(const ProtobufCMessageDescriptor *d);
    /* An Any of an unknown type is no error: its type URL is kept, its contents are not, but for a
     * lone "value" in base64, which is how such an Any is printed. Whoever sets this looks at the
     * URLs afterwards. */
    bool pass_unknown;
};

/* -EINVAL with the field's path and what was expected, -E2BIG nested deeper than PB_DEPTH_MAX,
 * -ENOMEM over a's cap. The whole path of the error goes to ret_path (may be NULL), which the err
 * may hold in part only. types may be NULL: no Any. */
int pb_json_parse(const json_t *j, const ProtobufCMessageDescriptor *d,
                  const struct pb_json_types *types, struct arena *a, ProtobufCMessage **ret,
                  struct pb_path *ret_path, struct err *reterr) NODISCARD;
/* -EINVAL: a value that JSON has no form for (a Duration out of range, an Any that does not hold
 * what its type says); -ENOMEM. */
int pb_json_print(const ProtobufCMessage *m, const struct pb_json_types *types, json_t **ret,
                  struct err *reterr) NODISCARD;
