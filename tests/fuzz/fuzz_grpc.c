/* fuzz-layer: codec
 * gRPC's frames out of a chain that arrives in pieces: the same messages as in one piece; and its
 * fields: what is encoded is decoded to the same. */
#include <errno.h>
#include <stdlib.h>

#include "codec/grpc.h"

enum { MESSAGE_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The messages, a byte 0xff behind each; how it ended. */
static int read_all(struct str bytes, size_t piece, struct buf *ret)
{
    struct chain in = {0};
    int r = 0;
    for (size_t at = 0; at < bytes.n && r >= 0; at += piece) {
        chain_add(&in, str_sub(bytes, at, at + piece < bytes.n ? at + piece : bytes.n));
        for (;;) {
            struct chain message = {0};
            r = grpc_next(&in, MESSAGE_MAX, &message);
            struct str linear = r > 0 ? chain_linear(&message, message.n) : STR("");
            if (r > 0 && message.n > MESSAGE_MAX)
                abort();
            buf_add_str(ret, linear.p ? linear : STR(""));
            chain_done(&message);
            if (r <= 0)
                break;
            buf_add_u8(ret, 0xff);
        }
    }
    chain_done(&in);
    return r;
}

static void fields(struct str s)
{
    AUTO_DONE(buf) struct buf text = {0}, back = {0};
    struct http_field f[2];
    struct http_head h = {.fields = f, .cap = 2};
    uint64_t ms;
    int code;
    grpc_message_encode(&text, s);
    if (grpc_timeout_parse(s, &ms) == 0 && (s.n < 2 || s.n > 9))
        abort();
    if (http_head_add(&h, HTTP_NAME_GRPC_STATUS, STR("5")) < 0 ||
        http_head_add(&h, HTTP_NAME_GRPC_MESSAGE, buf_str(&text)) < 0)
        abort();
    if (grpc_status_read(&h, &code, &back) < 0 || code != 5)
        abort();
    if (!text.failed && !back.failed && !str_eq(buf_str(&back), s))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = str_of(data, size);
    AUTO_DONE(buf) struct buf whole = {0}, pieces = {0};
    int one = read_all(s, size ? size : 1, &whole), other = read_all(s, 3, &pieces);
    if (!whole.failed && !pieces.failed &&
        (one != other || !str_eq(buf_str(&whole), buf_str(&pieces))))
        abort();
    fields(s);
    chain_pool_trim();
    return 0;
}
