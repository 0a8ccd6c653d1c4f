#pragma once
/* URLs as far as servers and clients of the API need them: percent coding and query strings (RFC 3986; '+' in a query
 * is a space, as HTML forms and Go write it). */

#include "base/buf.h"

/* Appends the decoded bytes. plus: '+' becomes a space. -EINVAL on a broken escape or an escaped NUL. */
int url_decode(struct str in, bool plus, struct buf *ret) NODISCARD;

/* Appends in with everything but RFC 3986's unreserved characters escaped. */
void url_encode(struct str in, struct buf *ret);

/* Takes the next key=value pair off *query, undecoded; value.p is NULL when there was no '='. false at the end. */
bool url_query_next(struct str *query, struct str *ret_key, struct str *ret_value);

/* Decoded value of the first parameter called key: 1 = found (appended to ret), 0 = absent, -EINVAL. */
int url_query_find(struct str query, const char *key, struct buf *ret) NODISCARD;
