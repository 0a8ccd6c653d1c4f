/* Records of releases, as they are in Secrets: packed, and what is in them.
 * fuzz-layer: chart */
#include "chart/chart.h"
#include "chart/release.h"
#include "codec/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_DONE(buf) struct buf zipped = {0};
    AUTO_DONE(buf) struct buf inner = {0};
    AUTO_DONE(buf) struct buf outer = {0};
    AUTO_DONE(release) struct release r = {0};
    AUTO_JSON json_t *objects = NULL;
    struct str in = str_of(data, size);
    /* The first byte says whether it is packed already. */
    if (size && (data[0] & 1))
        buf_add_str(&zipped, str_sub(in, 1, in.n));
    else if (release_zip(str_sub(in, MIN((size_t)1, in.n), in.n), &zipped) < 0)
        return 0;
    base64_encode(buf_str(&zipped), &inner);
    base64_encode(buf_str(&inner), &outer);
    AUTO_JSON json_t *secret = json_pack("{s:{s:s}}", "data", "release", buf_cstr(&outer));
    if (release_read(secret, &r, NULL) == 0)
        (void)!chart_parse_manifest(str_from(r.manifest), &objects, NULL);
    return 0;
}
