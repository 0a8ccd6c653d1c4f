/* W3C Trace Context (https://www.w3.org/TR/trace-context/) and B3. What is malformed is ignored, as
 * both say. */
#include "proxy/trace_context.h"

#include <endian.h>
#include <string.h>

static int digit(char c, bool upper)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return upper && c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(struct str s, bool upper, uint8_t *ret, size_t n)
{
    if (s.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = digit(s.p[2 * i], upper), low = digit(s.p[2 * i + 1], upper);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return !any;
}

static bool check_ids(struct trace_context *c)
{
    c->has_ids = !is_zero(c->trace_id, sizeof(c->trace_id)) && !is_zero(c->span_id, 8);
    return c->has_ids;
}

/* 00-TRACE-SPAN-FLAGS; versions to come may have more behind another dash. */
bool trace_read_w3c(struct str text, struct trace_context *ret)
{
    struct trace_context c = {0};
    uint8_t version, flags;
    if (text.n < TRACE_PARENT_BYTES || text.p[2] != '-' || text.p[35] != '-' || text.p[52] != '-' ||
        !read_hex(str_sub(text, 0, 2), false, &version, 1) || version == 0xff ||
        (version == 0 && text.n != TRACE_PARENT_BYTES) ||
        (text.n > TRACE_PARENT_BYTES && text.p[TRACE_PARENT_BYTES] != '-') ||
        !read_hex(str_sub(text, 3, 35), false, c.trace_id, 16) ||
        !read_hex(str_sub(text, 36, 52), false, c.span_id, 8) ||
        !read_hex(str_sub(text, 53, 55), false, &flags, 1) || !check_ids(&c))
        return false;
    c.sampled = flags & 1 ? TRACE_SAMPLED_YES : TRACE_SAMPLED_NO;
    *ret = c;
    return true;
}

static bool read_trace_id(struct str s, struct trace_context *c)
{
    return s.n == TRACE_SPAN_HEX ? read_hex(s, true, c->trace_id + 8, 8)
                                 : read_hex(s, true, c->trace_id, 16);
}

static bool read_sampled(struct str s, struct trace_context *c)
{
    bool yes = str_is(s, "1") || str_is(s, "d") || str_eq_nocase(s, STR("true"));
    bool no = str_is(s, "0") || str_eq_nocase(s, STR("false"));
    c->sampled = yes ? TRACE_SAMPLED_YES : no ? TRACE_SAMPLED_NO : TRACE_SAMPLED_UNKNOWN;
    return yes || no;
}

/* TRACE-SPAN, TRACE-SPAN-SAMPLED, TRACE-SPAN-SAMPLED-PARENT, or SAMPLED alone. */
bool trace_read_b3(struct str text, struct trace_context *ret)
{
    struct trace_context c = {0};
    struct str rest, trace = str_cut(text, '-', &rest), parent = {NULL, 0};
    uint8_t unused[8];
    if (!rest.p) {
        bool good = text.n && read_sampled(text, &c);
        if (good)
            *ret = c;
        return good;
    }
    struct str span = str_cut(rest, '-', &rest), sampled = {NULL, 0};
    if (rest.p)
        sampled = str_cut(rest, '-', &parent);
    if (!read_trace_id(trace, &c) || !read_hex(span, true, c.span_id, 8) || !check_ids(&c) ||
        (sampled.p && !read_sampled(sampled, &c)) ||
        (parent.p && !read_hex(parent, true, unused, 8)))
        return false;
    *ret = c;
    return true;
}

bool trace_read_b3_fields(const struct http_head *h, struct trace_context *ret)
{
    const struct http_field *one = http_head_find(h, HTTP_NAME_B3);
    if (one && trace_read_b3(http_field_value(one), ret))
        return true;
    struct trace_context c = {0};
    struct str trace = http_field_value(http_head_find(h, HTTP_NAME_X_B3_TRACEID));
    struct str span = http_field_value(http_head_find(h, HTTP_NAME_X_B3_SPANID));
    struct str sampled = http_field_value(http_head_find(h, HTTP_NAME_X_B3_SAMPLED));
    struct str flags = http_field_value(http_head_find(h, HTTP_NAME_X_B3_FLAGS));
    bool decided = sampled.n && read_sampled(sampled, &c);
    if (str_is(flags, "1")) { /* debug */
        c.sampled = TRACE_SAMPLED_YES;
        decided = true;
    }
    bool ids = trace.n && span.n && read_trace_id(trace, &c) &&
               read_hex(span, true, c.span_id, 8) && check_ids(&c);
    if (!ids && !decided)
        return false;
    c.has_ids = ids;
    *ret = c;
    return true;
}

/* Eight digits of four bytes at once: each half of a byte in a byte of its own, and 'a' to 'f' are
 * 39 beyond where the digits end. */
static uint64_t hex_of(uint32_t four)
{
    uint64_t x = four;
    x = (x << 16 | x) & 0x0000ffff0000ffff;
    x = (x << 8 | x) & 0x00ff00ff00ff00ff;
    x = (x << 8 | x >> 4) & 0x0f0f0f0f0f0f0f0f; /* the upper half comes first */
    uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
    return x + 0x3030303030303030 + letters * ('a' - '0' - 10);
}

void trace_hex(const uint8_t *bytes, size_t n, char *ret)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t four;
        memcpy(&four, bytes + i, sizeof(four));
        uint64_t digits = hex_of(le32toh(four));
        digits = htole64(digits);
        memcpy(ret + 2 * i, &digits, sizeof(digits));
    }
}

void trace_write_w3c(const struct trace_context *c, char ret[TRACE_PARENT_BYTES])
{
    memcpy(ret, "00-", 3);
    trace_hex(c->trace_id, 16, ret + TRACE_PARENT_TRACE);
    ret[35] = '-';
    trace_hex(c->span_id, 8, ret + TRACE_PARENT_SPAN);
    ret[52] = '-';
    ret[53] = '0';
    ret[54] = c->sampled == TRACE_SAMPLED_YES ? '1' : '0';
}
