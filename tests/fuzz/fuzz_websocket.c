/* fuzz-layer: codec
 * WebSocket frames from a client and from a server: where the input is cut must not matter, and
 * what was read can be written and read back. */
#include <errno.h>
#include <stdlib.h>

#include "codec/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum(uint64_t h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        h = h * 31 + (uint8_t)s.p[i];
    return h * 31 + s.n;
}

static void check_again(const struct websocket_frame *f)
{
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_DONE(chain) struct chain in = {0};
    struct websocket_frame again;
    size_t used;
    if (!f->final || f->opcode == WEBSOCKET_CONTINUATION)
        return;
    websocket_frame_write(&b, f->opcode, true, f->payload);
    if (b.failed)
        return;
    chain_add(&in, buf_str(&b));
    int r = websocket_frame_read(&in, true, &again, &used);
    if (r == -ENOMEM)
        return; /* an allocation was made to fail */
    if (r != 1 || used != b.n || again.opcode != f->opcode || !str_eq(again.payload, f->payload))
        abort();
}

/* All frames of the input, given in two pieces. 0 = it was refused or an allocation failed. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t cut, bool from_client)
{
    AUTO_DONE(chain) struct chain in = {0};
    uint64_t h = 1;
    for (int part = 0; part < 2; part++) {
        struct websocket_frame f;
        size_t used;
        int r;
        chain_add(&in, str_of(part ? data + cut : data, part ? size - cut : cut));
        while ((r = websocket_frame_read(&in, from_client, &f, &used)) == 1) {
            if (used > in.n || f.payload.n > used)
                abort();
            h = sum(h * 31 + f.opcode + f.final, f.payload);
            check_again(&f);
            chain_consume(&in, used);
        }
        if (r < 0)
            return 0;
    }
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int client = 0; client < 2; client++) {
        uint64_t whole = read_all(data, size, size, client);
        uint64_t split = read_all(data, size, size / 2, client);
        if (whole && split && whole != split)
            abort();
    }
    char accept[29];
    websocket_accept_key(str_of(data, size), accept);
    return 0;
}
