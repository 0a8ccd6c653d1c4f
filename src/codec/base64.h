#pragma once
/* Base64 (RFC 4648): the standard alphabet with padding, and the URL alphabet without (JWT). */

#include "base/buf.h"

void base64_encode(struct str in, struct buf *ret);
void base64url_encode(struct str in, struct buf *ret);
/* For digests and keys: into an array of 4 * ((n + 2) / 3) + 1 characters. */
void base64_encode_short(const unsigned char *p, size_t n, char *ret);
/* Accept what Go's decoders accept: CR and LF are skipped in the standard form. -EINVAL. */
int base64_decode(struct str in, struct buf *ret) NODISCARD;
int base64url_decode(struct str in, struct buf *ret) NODISCARD;
