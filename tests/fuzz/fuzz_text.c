/* fuzz-layer: codec
 * JSON and YAML intake, the list splitter, URLs, base64: no crash, bounded memory, and YAML we
 * write can be read back. */
#include "codec/base64.h"
#include "codec/json_items.h"
#include "codec/url.h"
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_item(struct str text, void *user)
{
    json_t *j = NULL;
    (void)user;
    if (json_parse(text, 0, NULL, &j, NULL) == 0)
        json_decref(j);
    return 0;
}

static void round_trip(const json_t *j)
{
    AUTO_DONE(buf) struct buf b = {0};
    json_t *again = NULL;
    yaml_write(&b, j);
    if (yaml_parse(buf_str(&b), &again, NULL) == 0)
        json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_of(data, size);
    struct json_items items = {.item_bytes_max = 65536};
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(buf) struct buf c = {0};
    json_t *j = NULL;
    char duplicate[128];
    if (json_parse(in, 1 << 20, duplicate, &j, NULL) == 0) {
        if (json_is_object(j) || json_is_array(j))
            round_trip(j);
        json_decref(j);
    }
    j = NULL;
    if (yaml_parse_all(in, &j, NULL) == 0)
        json_decref(j);
    IGNORE_RESULT(json_items_feed(&items, in, on_item, NULL));
    json_items_done(&items);
    IGNORE_RESULT(url_decode(in, true, &b));
    IGNORE_RESULT(base64_decode(in, &c));
    free(url_param(in, "a"));
    return 0;
}
