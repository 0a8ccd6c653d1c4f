#pragma once
/* URLs: percent-decoding, query parameters, parts of whole ones. */

#include "base/buf.h"

/* Decodes %XX (and '+' as space when query is true) into ret. -EINVAL: a malformed escape or a NUL
 * byte. */
int url_decode(struct str s, bool query, struct buf *ret) NODISCARD;
/* Everything but unreserved characters (RFC 3986 section 2.3) becomes %XX. */
void url_encode(struct str s, struct buf *ret);

/* The decoded first value of a parameter; NULL if absent or malformed. The caller frees. "" when it
 * has no value. */
char *url_param(struct str query, const char *name);
/* True if it is there and not "false" or "0" (kubectl sends true and 1, Python's client True). */
bool url_param_bool(struct str query, const char *name);
/* for (struct str rest = query; url_param_next(&rest, &name, &value);) raw, undecoded parts. */
bool url_param_next(struct str *rest, struct str *ret_name, struct str *ret_value);

/* An http or https URL without user, password and fragment. */
struct url_parts {
    bool tls;
    struct str host; /* a name, or an address; without brackets */
    uint16_t port;
    struct str target; /* path and query as they stand, "" for none */
};
enum { URL_BYTES_MAX = 4096 };
/* -EINVAL: it is none, or holds what may not stand in a request. */
int url_split(struct str s, struct url_parts *ret) NODISCARD;
