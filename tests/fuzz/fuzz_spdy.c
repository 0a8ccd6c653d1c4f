/* fuzz-layer: lab
 * SPDY from a client: where the input is cut must not matter; nothing is read beyond the limits. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "lab/node/spdy_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum(uint64_t h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        h = h * 31 + (uint8_t)s.p[i];
    return h * 31 + s.n;
}

/* All frames of the input, which grows by `piece` bytes. 0: it was refused; *ret_starved: an
 * allocation was made to fail. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t piece, bool *ret_starved)
{
    struct spdy_codec *c = spdy_codec_new();
    struct spdy_frame f;
    uint64_t h = 1;
    size_t at = 0, used = 0;
    int r = 0;
    for (size_t have = 0; have < size && r >= 0;) {
        have = MIN(have + piece, size);
        while ((r = spdy_read(c, str_of((const char *)data + at, have - at), &f, &used)) == 1) {
            if (used > have - at || f.payload.n > used)
                abort();
            h = sum(h * 31 + (uint64_t)f.type + f.stream + f.fin, f.payload);
            h = sum(h, spdy_header_of(c, "streamtype"));
            at += used;
        }
    }
    spdy_codec_free(c);
    *ret_starved = *ret_starved || r == -ENOMEM;
    return r < 0 ? 0 : h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8192)
        return 0;
    bool starved = false;
    uint64_t whole = read_all(data, size, size ? size : 1, &starved),
             pieces = read_all(data, size, 7, &starved);
    if (whole != pieces && !starved)
        abort();
    return 0;
}
