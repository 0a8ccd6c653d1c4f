/* Templates: what parses is rendered, within its bounds.
 * fuzz-layer: chart */
#include "chart/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct chart_file files[] = {{"files/a.txt", {"one\ntwo", 7}}};
    AUTO(templates) struct templates *t = templates_new(files, ARRAY_LEN(files));
    AUTO_DONE(buf) struct buf out = {.cap = 1024 * 1024};
    AUTO_JSON json_t *root = json_pack("{s:{s:{s:i,s:b},s:[s,s],s:s},s:{}}", "Values", "m", "a", 1,
                                       "b", 1, "l", "x", "y", "s", "text", "Files");
    if (templates_add(t, "t", str_of(data, size), NULL) == 0)
        (void)!templates_render(t, "t", root, &out, NULL);
    return 0;
}
