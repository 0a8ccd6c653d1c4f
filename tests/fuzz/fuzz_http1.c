/* fuzz-layer: codec
 * Where a head ends, and the chunked decoder, whole and in two pieces. */
#include "codec/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t dechunk(const uint8_t *data, size_t size, size_t cut)
{
    struct http1_chunked c = {0};
    size_t total = 0;
    int r = 0;
    for (int part = 0; part < 2 && r >= 0; part++) {
        struct str in = part ? str_of(data + cut, size - cut) : str_of(data, cut), piece;
        while ((r = http1_chunked_next(&c, &in, &piece)) == 1)
            total += piece.n;
    }
    return r < 0 ? SIZE_MAX : total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t scanned = 0;
    ssize_t n = http1_head_length(str_of(data, size), &scanned);
    if (n > 0 && ((size_t)n > size || memcmp(data + n - 4, "\r\n\r\n", 4) != 0))
        __builtin_trap();
    /* Where the input is cut must not matter. */
    size_t whole = dechunk(data, size, size);
    if (dechunk(data, size, size / 2) != whole || dechunk(data, size, size / 3) != whole)
        __builtin_trap();
    return 0;
}
