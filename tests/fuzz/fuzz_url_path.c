/* fuzz-layer: codec
 * Paths in their canonical form: within its room, a path still, the same when it is made canonical
 * again, without dots or slashes twice, and the query as it was. The first byte says the rules. */
#include <stdlib.h>

#include "base/mem.h"
#include "codec/url_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct url_path_rules *r, struct str in, struct str out)
{
    struct str query, path = str_cut(out, '?', &query), in_query;
    (void)str_cut(in, '?', &in_query);
    if (out.n > url_path_room(r, in) || !out.n || out.p[0] != '/' || query.n != in_query.n ||
        (query.n && memcmp(query.p, in_query.p, query.n) != 0))
        abort();
    if (r->merge_slashes && str_contains(path, STR("//")))
        abort();
    if (r->normalize && (str_contains(path, STR("/../")) || str_contains(path, STR("/./")) ||
                         str_ends(path, STR("/..")) || str_contains(path, STR("\\"))))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct url_path_rules r = {data[0] & 1, data[0] & 2, data[0] >> 2 & 3};
    struct str in = str_of(data + 1, size - 1);
    char *out = malloc(url_path_room(&r, in) + 1), *again = malloc(in.n * 3 + 1);
    size_t n = 0, m = 0;
    enum url_path_result result = url_path_canonical(&r, in, out, &n);
    if (result == URL_PATH_CHANGED || result == URL_PATH_REDIRECTED) {
        check(&r, in, str_of(out, n));
        enum url_path_result second = url_path_canonical(&r, str_of(out, n), again, &m);
        if (r.normalize && r.escaped_slashes == URL_SLASHES_KEEP && second != URL_PATH_SAME)
            abort();
    }
    free(out);
    free(again);
    return 0;
}
