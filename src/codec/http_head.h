#pragma once
/* The head of an HTTP message, whatever its version: what its first line said, its fields as
 * pointers into the bytes they came in, and what follows from them for the message's framing.
 * Nothing is copied and nothing is zeroed but what is used, so the bytes must live as long as the
 * head and must not move. Added fields point to wherever their owner keeps them. */

#include "base/err.h"
#include "codec/http_names.h"

enum {
    HTTP_FIELDS_MAX = 128,
    HTTP_LENGTH_NONE = -1, /* no Content-Length */
};

struct http_field {
    const char *name; /* in the letters it came in */
    const char *value;
    uint32_t value_n;
    uint16_t name_n; /* 0: taken out */
    uint16_t id;     /* enum http_name */
};

/* A field to be sent, by whoever writes a few of them by hand. */
struct http_header {
    struct str name;
    struct str value;
};

struct http_head {
    struct http_field *fields; /* the caller's, with room for `cap` */
    uint16_t n;
    uint16_t cap;
    uint16_t status; /* 0: a request */
    uint8_t minor;   /* of HTTP/1 */
    struct str method;
    struct str scheme;    /* of HTTP/2: "http" or "https"; else .p NULL */
    struct str target;    /* as it came */
    struct str authority; /* of an absolute target, or CONNECT's; else .p NULL: Host says */
    struct str path;      /* with the query; "*" of OPTIONS; empty for CONNECT */
    struct str reason;    /* of an answer */
    /* RFC 9112 section 6.3 */
    int64_t content_length; /* or HTTP_LENGTH_NONE */
    bool chunked;
    bool close;           /* the connection ends behind this message */
    bool upgrade;         /* Connection names it */
    bool expect_continue; /* 100-continue */
    bool has_host;
};

/* The first field of that name; NULL: none. */
const struct http_field *http_head_find(const struct http_head *h, enum http_name id);
/* The same for a name that may have no number; lower case. */
const struct http_field *http_head_find_text(const struct http_head *h, struct str name);
static inline struct str http_field_value(const struct http_field *f)
{
    return f ? str_of(f->value, f->value_n) : (struct str){NULL, 0};
}
/* Takes every field of that name out; how many there were. */
unsigned http_head_remove(struct http_head *h, enum http_name id);
/* Borrows the value. -E2BIG: no room. */
int http_head_add(struct http_head *h, enum http_name id, struct str value) NODISCARD;
/* The same with any name, whose number is looked up. Borrows both. -EBADMSG: not what a field may
 * be (RFC 9110 section 5). */
int http_head_add_text(struct http_head *h, struct str name, struct str value) NODISCARD;

/* Names and values, without what was taken out; how many there are, at most `max`. */
size_t http_head_list(const struct http_head *h, struct http_header *ret, size_t max);

/* "GET" etc.: a token (RFC 9110 section 5.6.2). */
bool http_is_token(struct str s);
/* A value that may be written: no CR, LF, NUL or other controls but TAB. */
bool http_is_value(struct str s);
/* Is token (case-insensitive) a member of the comma-separated value? */
bool http_has_token(struct str value, const char *token);
