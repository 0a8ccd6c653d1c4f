/* SPDY/3.1 frames: what a client sends (headers compressed with the protocol's dictionary), what is
 * refused, what we write. */
#include <errno.h>
#include <zlib.h>

#include "base/mem.h"
#include "lab/node/spdy_codec.h"
#include "test.h"

static void add_u32(struct buf *b, uint32_t v)
{
    const char bytes[] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    buf_add(b, bytes, 4);
}

static void add_text(struct buf *b, const char *text)
{
    add_u32(b, (uint32_t)strlen(text));
    buf_add_cstr(b, text);
}

/* A client's SYN_STREAM without a dictionary: a reader does not ask for one then. */
static void add_syn(struct buf *out, z_stream *z, uint32_t stream, const char *type, bool fin)
{
    AUTO_DONE(buf) struct buf text = {0};
    char packed[512];
    add_u32(&text, 2);
    add_text(&text, "streamtype");
    add_text(&text, type);
    add_text(&text, "port");
    add_text(&text, "80");
    z->next_in = (Bytef *)text.p;
    z->avail_in = (uInt)text.n;
    z->next_out = (Bytef *)packed;
    z->avail_out = sizeof(packed);
    assert_int_equal(deflate(z, Z_SYNC_FLUSH), Z_OK);
    size_t n = sizeof(packed) - z->avail_out;
    add_u32(out, 0x80030001);
    add_u32(out, (fin ? 1u << 24 : 0) | (uint32_t)(10 + n));
    add_u32(out, stream);
    add_u32(out, 0);
    buf_add(out, "\0\0", 2);
    buf_add(out, packed, n);
}

static void test_streams_data_and_pings(void **state)
{
    AUTO_DONE(buf) struct buf in = {0};
    struct spdy_codec *c = spdy_codec_new();
    struct spdy_frame f;
    z_stream z = {0};
    size_t used, at = 0;
    (void)state;
    assert_int_equal(deflateInit(&z, 6), Z_OK);
    add_syn(&in, &z, 1, "error", true);
    add_syn(&in, &z, 3, "data", false); /* by what the first one left in the compression */
    spdy_write_data(&in, 3, false, STR("hello"));
    spdy_write_ping(&in, 5);
    spdy_write_data(&in, 3, true, (struct str){0});
    deflateEnd(&z);
    static const struct {
        enum spdy_type type;
        uint32_t stream;
        bool fin;
        const char *payload, *streamtype;
    } want[] = {{SPDY_SYN_STREAM, 1, true, "", "error"},
                {SPDY_SYN_STREAM, 3, false, "", "data"},
                {SPDY_DATA, 3, false, "hello", "data"},
                {SPDY_PING, 5, false, "", "data"},
                {SPDY_DATA, 3, true, "", "data"}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct str rest = str_sub(buf_str(&in), at, in.n);
        assert_int_equal(spdy_read(c, str_sub(rest, 0, 7), &f, &used), 0);
        assert_int_equal(spdy_read(c, rest, &f, &used), 1);
        assert_int_equal(f.type, want[i].type);
        assert_int_equal(f.stream, want[i].stream);
        assert_int_equal(f.fin, want[i].fin);
        assert_true(str_is(f.payload, want[i].payload));
        assert_true(str_is(spdy_header_of(c, "StreamType"), want[i].streamtype));
        at += used;
    }
    assert_int_equal(at, in.n);
    assert_true(str_is(spdy_header_of(c, "port"), "80") && !spdy_header_of(c, "none").p);
    spdy_codec_free(c);
}

/* What we write, read as a client would: the dictionary is the protocol's, whose check value is
 * known. */
static void test_a_reply_by_the_dictionary(void **state)
{
    AUTO_DONE(buf) struct buf out = {0};
    struct spdy_codec *c = spdy_codec_new();
    (void)state;
    spdy_write_reply(c, &out, 1);
    const unsigned char *p = (const unsigned char *)out.p;
    assert_memory_equal(p, "\x80\x03\x00\x02", 4);
    assert_int_equal(p[12] & 0x0f, 8);                  /* zlib */
    assert_true(p[13] & 0x20);                          /* with a dictionary: */
    assert_memory_equal(p + 14, "\xe3\xc6\xa7\xc2", 4); /* its Adler-32 */
    spdy_codec_free(c);
}

static void test_what_is_refused(void **state)
{
    static const struct {
        struct str in;
        int code;
    } rows[] = {
        {STR("\x80\x02\x00\x01\x00\x00\x00\x0a\0\0\0\1\0\0\0\0\0\0"), -EBADMSG}, /* version 2 */
        {STR("\x80\x03\x00\x01\x00\x00\x00\x02\0\0"), -EBADMSG},                 /* too short */
        {STR("\x80\x03\x00\x01\x00\x00\x00\x0e\0\0\0\1\0\0\0\0\0\0none"), -EBADMSG},
        {STR("\x00\x00\x00\x01\x00\xff\xff\xff"), -E2BIG}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spdy_codec *c = spdy_codec_new();
        struct spdy_frame f;
        size_t used;
        assert_int_equal(spdy_read(c, rows[i].in, &f, &used), rows[i].code);
        spdy_codec_free(c);
    }
}

/* A few bytes that inflate to many. */
static void test_headers_are_bounded(void **state)
{
    AUTO_DONE(buf) struct buf in = {0};
    AUTO_CHARS char *zeros = xcalloc(1, 1 << 20);
    char packed[4096];
    uLongf n = sizeof(packed);
    struct spdy_codec *c = spdy_codec_new();
    struct spdy_frame f;
    size_t used;
    (void)state;
    assert_int_equal(compress((Bytef *)packed, &n, (Bytef *)zeros, 1 << 20), Z_OK);
    add_u32(&in, 0x80030001);
    add_u32(&in, (uint32_t)(10 + n));
    add_u32(&in, 1);
    add_u32(&in, 0);
    buf_add(&in, "\0\0", 2);
    buf_add(&in, packed, n);
    assert_int_equal(spdy_read(c, buf_str(&in), &f, &used), -E2BIG);
    spdy_codec_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_streams_data_and_pings),
                                       cmocka_unit_test(test_a_reply_by_the_dictionary),
                                       cmocka_unit_test(test_what_is_refused),
                                       cmocka_unit_test(test_headers_are_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
