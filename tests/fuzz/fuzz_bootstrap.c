/* fuzz-layer: xds
 * A bootstrap file, YAML or JSON: reading ends with a message or an error, and what is accepted or
 * warned about can be printed and read again as the same. */
#include <errno.h>
#include <stdlib.h>

#include "codec/pb_json.h"
#include "xds/xds_file.h"
#include "xds/xds_types.h"

enum { MEMORY_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) struct arena *a = arena_new(MEMORY_MAX);
    AUTO_DONE(xds_report) struct xds_report r = {0};
    AUTO_JSON json_t *first = NULL;
    AUTO_JSON json_t *second = NULL;
    Envoy__Config__Bootstrap__V3__Bootstrap *b = NULL;
    ProtobufCMessage *again = NULL;
    struct err err = {0};
    if (xds_file_parse(str_of(data, size), "f", a, &b, &r, &err) < 0) {
        if (!err.msg[0])
            abort();
        return 0;
    }
    int code = pb_json_print(&b->base, &xds_json_types, &first, &err);
    if (code == 0)
        code = pb_json_parse(first, b->base.descriptor, &xds_json_types, a, &again, NULL, &err);
    if (code == 0)
        code = pb_json_print(again, &xds_json_types, &second, &err);
    if (code < 0 && code != -ENOMEM) /* which the replay makes scarce on purpose */
        abort();
    if (code == 0 && !json_equal(first, second))
        abort();
    return 0;
}
