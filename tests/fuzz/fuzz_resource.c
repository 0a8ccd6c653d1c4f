/* fuzz-layer: xds
 * A resource as a management server sends it; the first byte chooses the type. Unpacking and
 * checking end, whatever the bytes are; what unpacks comes out of its JSON form as it went in. */
#include <errno.h>
#include <stdlib.h>

#include "codec/pb_json.h"
#include "xds/xds_check.h"

enum { MEMORY_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing fails but for want of memory, which the replay makes scarce on purpose. */
static void must(int code)
{
    if (code < 0 && code != -ENOMEM)
        abort();
}

/* To JSON, back, over the wire, to JSON: the same. */
static void round_trip(const ProtobufCMessage *m)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf wire = {0};
    AUTO_JSON json_t *first = NULL;
    AUTO_JSON json_t *second = NULL;
    ProtobufCMessage *back = NULL, *again = NULL;
    struct err err = {0};
    if (pb_json_print(m, &xds_json_types, &first, &err) < 0) {
        if (err.code != -EINVAL) /* a value without a JSON form is allowed */
            must(err.code);
        return;
    }
    int code = pb_json_parse(first, m->descriptor, &xds_json_types, a, &back, NULL, &err);
    if (code == 0)
        code = pb_pack(back, &wire);
    if (code == 0)
        code = pb_unpack(m->descriptor, buf_str(&wire), a, &again, &err);
    if (code == 0)
        code = pb_json_print(again, &xds_json_types, &second, &err);
    must(code);
    if (code == 0 && !json_equal(first, second))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) struct arena *a = arena_new(MEMORY_MAX);
    AUTO_DONE(xds_report) struct xds_report r = {0};
    ProtobufCMessage *m = NULL, *accepted = NULL;
    struct err err = {0};
    if (!size)
        return 0;
    enum xds_resource type = (enum xds_resource)(data[0] % XDS_RESOURCES);
    struct str bytes = str_of(data + 1, size - 1);
    if (pb_unpack(xds_resource_type(type)->message, bytes, a, &m, &err) < 0)
        return 0;
    IGNORE_RESULT(xds_resource_unpack(type, bytes, a, &accepted, &r, &err)); /* it ends */
    round_trip(m);
    return 0;
}
